import { Worker } from "node:worker_threads";
import { readManifest, type Manifest } from "../format/manifest.js";
import { check, must } from "../util/assert.js";
import type { Feeds } from "./batch.js";
import type { Counters, EvaluationResult, StepResult, StepsResult, StepsRoom } from "./engine.js";
import type { Hyper } from "./feeder.js";
import { buffersOf, fromPlain, type CallName, type Calls, type Request, type Response } from "./protocol.js";
import { resolveOptions, type Driver, type EngineOptions } from "./options.js";
import type { HostTensor } from "./tensors.js";

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

/**
 * A training package opened in a worker thread: sessions and every buffer live there, this thread's event loop stays
 * free. Calls are answered in the order in which they were made. `close` it, or the worker ends with the process.
 *
 * ```ts
 * const runtime = await PackageRuntime.open("out", { seed: 1 });
 * const { diagnostics } = await runtime.step(batch, { "hyper/lr": 1e-3 });
 * ```
 */
export class PackageRuntime {
  private readonly waiting = new Map<number, Waiting>();
  private next = 0;
  private over: Error | null = null;

  private constructor(
    readonly folder: string,
    readonly manifest: Manifest,
    /** Threads within an operator: results depend on their number bit for bit. */
    readonly threads: number,
    /** Seed of the random inputs. */
    readonly seed: number,
    /** Name of the execution provider. */
    readonly provider: string,
    private readonly worker: Worker,
  ) {}

  /** Opens the package in `folder`: reads the manifest and the weights; graphs are opened when first needed. */
  static async open(folder: string, options: EngineOptions = {}): Promise<PackageRuntime> {
    const { threads, seed, provider } = resolveOptions(options);
    const manifest = readManifest(folder);
    const worker = new Worker(new URL("./worker.js", import.meta.url), {
      // Flags such as --input-type are about the program's entry, not about the worker's.
      execArgv: [],
      workerData: { folder, options: { ...options, threads } },
    });
    const runtime = new PackageRuntime(folder, manifest, threads, seed, provider.name, worker);
    await new Promise<void>((resolve, reject) => {
      worker.on("message", (response: Response) => {
        if (response.kind === "opened") resolve();
        else if (response.kind === "failed") reject(fromPlain(response.error));
        else runtime.receive(response);
      });
      const end = (error: Error) => {
        runtime.end(error);
        reject(error);
      };
      worker.on("error", end);
      worker.on("exit", (code) =>
        end(new Error(`the worker of the runtime ended${code === 0 ? "" : ` with code ${code}`}`)),
      );
    });
    worker.unref();
    return runtime;
  }

  /** One training step over one or more micro-batches (see `Engine.step`). */
  step(batches: Feeds | readonly Feeds[], hyper: Hyper = {}, driver?: Driver): Promise<StepResult> {
    const copies = (isMany(batches) ? batches : [batches]).map(copyOf);
    return this.call("step", [copies, hyper, driver], copies);
  }

  /** How many steps on batches like this one can be one run (see `Engine.roomForSteps`). */
  roomForSteps(batch: Feeds): Promise<StepsRoom | null> {
    const copy = copyOf(batch);
    return this.call("roomForSteps", [copy], [copy]);
  }

  /** Several steps, of one batch each, as one run (see `Engine.steps`). */
  steps(batches: readonly Feeds[], hyper: readonly Hyper[]): Promise<StepsResult> {
    const copies = batches.map(copyOf);
    return this.call("steps", [copies, hyper], copies);
  }

  evaluate(batch: Feeds): Promise<EvaluationResult> {
    const copy = copyOf(batch);
    return this.call("evaluate", [copy], [copy]);
  }

  forward(batch: Feeds): Promise<Record<string, HostTensor>> {
    const copy = copyOf(batch);
    return this.call("forward", [copy], [copy]);
  }

  /** Copies of parameters and state; of all parameters where no names are given. */
  read(names: readonly string[] = Object.keys(this.manifest.parameters)): Promise<Record<string, HostTensor>> {
    return this.call("read", [names]);
  }

  /** Replaces parameters or state. */
  async write(values: Readonly<Record<string, HostTensor>>): Promise<void> {
    await this.call("write", [values]);
  }

  counters(): Promise<Counters> {
    return this.call("getCounters", []);
  }

  /** Writes parameters, state and counters; returns the SHA-256 of what the file should hold. */
  saveState(path: string): Promise<string> {
    return this.call("saveState", [path]);
  }

  loadState(path: string): Promise<Counters> {
    return this.call("loadState", [path]);
  }

  async saveWeights(path: string): Promise<void> {
    await this.call("saveWeights", [path]);
  }

  /** Finishes what was asked for before, frees the sessions and ends the worker. */
  async close(): Promise<void> {
    if (this.over) return;
    const ended = new Promise<void>((resolve) => this.worker.once("exit", () => resolve()));
    await this.call("close", []);
    // Without other work the process would end here, before what follows `close`: nothing that is waited for holds it.
    this.worker.ref();
    await ended;
  }

  private call<N extends CallName>(
    call: N,
    args: Calls[N]["takes"],
    moved: readonly Feeds[] = [],
  ): Promise<Calls[N]["gives"]> {
    const { over } = this;
    if (over) return Promise.reject(over);
    const id = this.next++;
    const request: Request = { id, call, args };
    return new Promise<Calls[N]["gives"]>((resolve, reject) => {
      this.waiting.set(id, { resolve: (value) => resolve(value), reject });
      // The process stays alive while something is under way, and only then.
      this.worker.ref();
      this.worker.postMessage(
        request,
        moved.flatMap((batch) => buffersOf(Object.values(batch.feeds))),
      );
    });
  }

  private receive(response: Exclude<Response, { kind: "opened" | "failed" }>): void {
    const waiting = must(this.waiting.get(response.id), `request ${response.id}`);
    this.waiting.delete(response.id);
    if (this.waiting.size === 0) this.worker.unref();
    if (response.kind === "error") waiting.reject(fromPlain(response.error));
    else waiting.resolve(response.value);
  }

  private end(error: Error): void {
    this.over ??= error;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}

const isMany = (batches: Feeds | readonly Feeds[]): batches is readonly Feeds[] => Array.isArray(batches);

/** A batch whose buffers may be moved to the worker: the caller's stay as they are, views into a data set included. */
function copyOf(batch: Feeds): Feeds {
  check(typeof batch.feeds === "object", "a batch has its tensors under `feeds`");
  const feeds = Object.entries(batch.feeds).map(([name, t]) => [name, { ...t, data: t.data.slice() }] as const);
  return { feeds: Object.fromEntries(feeds) };
}
