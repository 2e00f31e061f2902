import { Worker } from "node:worker_threads";
import { UserError } from "../../util/assert.js";
import type { Batch } from "../batch.js";
import type { ImageSet } from "./images.js";
import type { BatchTask, Recipe } from "./recipe.js";

/** What a worker is started with; the pixels are shared, not copied. */
export interface BatchWorkerSetup {
  set: ImageSet;
  recipe: Recipe;
}

export interface BatchRequest {
  id: number;
  task: BatchTask;
}

/** The batch, or why the user's data give none. */
export type BatchResponse = { id: number; batch: Batch } | { id: number; refusal: string };

interface Waiting {
  resolve: (batch: Batch) => void;
  reject: (error: Error) => void;
}

/** Worker threads that make batches of one set of images. */
export class BatchPool {
  private readonly workers: Worker[];
  private readonly waiting = new Map<number, Waiting>();
  private next = 0;
  private failure: Error | null = null;

  constructor(setup: BatchWorkerSetup, size: number) {
    this.workers = Array.from({ length: size }, () => {
      const worker = new Worker(new URL("./batch_worker.js", import.meta.url), { execArgv: [], workerData: setup });
      worker.on("message", (response: BatchResponse) => {
        const waiting = this.waiting.get(response.id);
        this.waiting.delete(response.id);
        if ("batch" in response) waiting?.resolve(response.batch);
        else waiting?.reject(new UserError(response.refusal));
      });
      worker.on("error", (error) => {
        this.failure = error instanceof Error ? error : new Error(String(error));
        for (const { reject } of this.waiting.values()) reject(this.failure);
        this.waiting.clear();
      });
      return worker;
    });
  }

  /** How many batches are best made ahead: one at work and one ready for each worker. */
  get depth(): number {
    return 2 * this.workers.length;
  }

  /** The batch of a task; the workers take turns. */
  make(task: BatchTask): Promise<Batch> {
    if (this.failure) return Promise.reject(this.failure);
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      const request: BatchRequest = { id, task };
      this.workers[id % this.workers.length]?.postMessage(request);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }
}
