import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { onFile } from "../../util/files.js";
import type { SweepFile } from "./file.js";
import { RunProcess, workerOf } from "./process.js";
import { failureOf, resultOf, type SweepResult } from "./results.js";
import type { SweepRun } from "./runs.js";

export interface RunnerOptions {
  /** Processes at a time, and threads of each. */
  jobs: number;
  threads: number;
  /** Milliseconds until no more is started and what runs is stopped. */
  timeLimit: number | undefined;
  signal: AbortSignal;
  /** Called after each run that ended for good. */
  onResult: (run: SweepRun, result: SweepResult) => void;
  /** Called with a run that ended for another reason than its own, and will be gone on with. */
  onLost: (run: SweepRun, message: string) => void;
}

/** Why a sweep ended. */
export type Ending = "done" | "time limit" | "interrupted";

/** Works through runs, several processes at a time. */
export class Runner {
  readonly running = new Set<RunProcess>();
  private ending: Ending = "done";

  constructor(
    private readonly file: SweepFile,
    private readonly options: RunnerOptions,
  ) {}

  async work(pending: readonly SweepRun[]): Promise<Ending> {
    const { jobs, timeLimit, signal } = this.options;
    const queue = [...pending];
    const interrupted = (): void => this.stop("interrupted");
    signal.addEventListener("abort", interrupted, { once: true });
    if (signal.aborted) interrupted();
    const timer = timeLimit === undefined ? undefined : setTimeout(() => this.stop("time limit"), timeLimit);
    try {
      const worker = async (): Promise<void> => {
        for (let run = queue.shift(); run && this.ending === "done"; run = queue.shift()) await this.one(run);
      };
      await Promise.all(Array.from({ length: Math.min(jobs, queue.length) }, worker));
    } catch (error) {
      this.stop("interrupted");
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", interrupted);
    }
    return this.ending;
  }

  private stop(ending: Ending): void {
    if (this.ending !== "done") return;
    this.ending = ending;
    for (const each of this.running) each.interrupt();
  }

  private async one(run: SweepRun): Promise<void> {
    const { threads, onResult, onLost } = this.options;
    const other = workerOf(this.file, run);
    if (other) return onLost(run, `process ${other.pid} on ${other.host} works on it`);
    const child = new RunProcess(run, this.file, threads);
    this.running.add(child);
    const outcome = await child.ended;
    this.running.delete(child);
    if (outcome.kind === "killed") return onLost(run, outcome.message);
    if (outcome.kind === "interrupted") {
      if (this.ending === "done") onLost(run, "its process was interrupted");
      return;
    }
    // What fails while a sweep is being stopped may have failed for that.
    if (outcome.kind === "failed" && this.ending !== "done") return onLost(run, outcome.message);
    const result =
      outcome.kind === "finished"
        ? resultOf(this.file, run, threads, outcome.printed)
        : failureOf(this.file, run, threads, outcome.message);
    if (result.error === null && this.file.keep === "log") removeWeights(run.folder);
    onResult(run, result);
  }
}

/** Removes what takes room of a finished run: weights, checkpoints and graphs. */
function removeWeights(folder: string): void {
  onFile(folder, "write", () => {
    for (const name of readdirSync(folder)) {
      if (/^(checkpoint-\d+|checkpoints|package|lowered|weights\.safetensors)$/.test(name)) {
        rmSync(join(folder, name), { recursive: true });
      }
    }
  });
}
