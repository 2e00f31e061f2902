import type { BatchSource } from "../data/batch.js";
import type { StepResult } from "../runtime/engine.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import { check, UserError } from "../util/assert.js";
import type { JsonValue } from "../util/json.js";
import { didYouMean } from "../util/suggest.js";
import { Checkpoints, readCheckpoint, type TrainerState } from "./checkpoints.js";
import { evaluateAll, type Evaluation, type EvaluationSummary } from "./evaluate.js";
import { EventLog, type TrainEvent } from "./events.js";
import { Groups } from "./groups.js";
import { Progress } from "./progress.js";
import type { Schedule } from "./schedules.js";

export interface FitOptions {
  runtime: PackageRuntime;
  train: BatchSource;
  epochs: number;
  /** Stop after so many steps, wherever the epoch stands. */
  maxSteps?: number | undefined;
  /** Micro-batches in a step; default 1. */
  accumulate?: number | undefined;
  /** Values of hyper-parameters instead of the package's defaults, by `lr`, `hyper/lr` or `lr/<group>`. */
  hyper?: Readonly<Record<string, number>> | undefined;
  /** Factors over time, by name as in `hyper`: `{ lr: schedule("cosine", { warmup: 0.06 }) }`. */
  schedules?: Readonly<Record<string, Schedule>> | undefined;
  evaluation?: Evaluation | undefined;
  /** Steps between evaluations; default: after each epoch. */
  evaluateEvery?: number | undefined;
  checkpoints?: CheckpointOptions | undefined;
  /** A checkpoint, or the folder of checkpoints whose last is meant, to go on from. */
  resume?: string | undefined;
  /** File of the event log (JSON lines). */
  log?: string | undefined;
  /** Draw a progress bar where stderr is a terminal; default false. */
  progress?: boolean | undefined;
  /** Training stops when so many steps in a row are skipped; default 10. */
  maxSkips?: number | undefined;
  /** Aborting it finishes the step, saves a checkpoint and returns. */
  signal?: AbortSignal | undefined;
  callbacks?: Callbacks | undefined;
}

export interface CheckpointOptions {
  folder: string;
  /** Steps between checkpoints; default: after each evaluation, or each epoch where there is none. */
  every?: number | undefined;
  /** How many of the last are kept; default 2. The best is kept beside them. */
  keep?: number | undefined;
  /** What makes an evaluation the best; default: the lowest `loss`. */
  best?: { metric: string; mode: "min" | "max" } | undefined;
}

/** Called, and waited for, as training goes on. */
export interface Callbacks {
  onStep?(result: StepResult, at: { epoch: number; total: number }): void | Promise<void>;
  onEvaluation?(summary: EvaluationSummary, at: { step: number; epoch: number }): void | Promise<void>;
  onCheckpoint?(path: string): void | Promise<void>;
  /** Something to tell the user that is no error. */
  onNote?(line: string): void;
}

export interface FitResult {
  /** Steps taken and epochs completed, those before a resume included. */
  step: number;
  epoch: number;
  skipped: number;
  interrupted: boolean;
  /** The last evaluation of this run. */
  evaluation: EvaluationSummary | null;
  best: { step: number; value: number } | null;
  /** The last checkpoint that this run wrote. */
  checkpoint: string | null;
}

/**
 * Trains a package: steps over epochs of batches, with evaluation, checkpoints and an event log. Equal seeds and threads give equal
 * bits, and a run that was interrupted and resumed equals one that was not. The trained weights stay in the runtime:
 * `runtime.saveWeights` writes them.
 *
 * Throws a `UserError` where a file cannot be written, where a batch does not fit, and after `maxSkips` skipped steps in a row
 * (a loss or a gradient that is not finite); the last checkpoint stays.
 */
export async function fit(options: FitOptions): Promise<FitResult> {
  const training = await Training.start(options);
  try {
    await training.run();
  } catch (error) {
    await training.fail(error);
    throw error;
  }
  return training.finish();
}

class Training {
  private readonly started = Date.now();
  private interrupted = false;
  private evaluation: EvaluationSummary | null = null;
  private checkpoint: string | null = null;
  /** Step of the last checkpoint. */
  private savedAt = -1;

  private constructor(
    private readonly options: FitOptions,
    private readonly plan: { total: number; hyperAt: (t: number) => Record<string, number> },
    private readonly groups: Groups,
    private readonly state: TrainerState,
    private readonly checkpoints: Checkpoints | null,
    private readonly log: EventLog | null,
    private readonly progress: Progress,
  ) {}

  static async start(options: FitOptions): Promise<Training> {
    const { runtime, train, epochs, accumulate = 1, maxSteps = Infinity, resume } = options;
    const { threads, seed } = runtime;
    checkCounts(options);
    const groups = new Groups(train, accumulate);
    const total = Math.min(maxSteps, epochs * groups.perEpoch);
    // Whatever can be wrong is looked at before the first file is touched.
    const plan = { total, hyperAt: hyperSchedule(runtime, options, total) };
    const state = resume === undefined ? await newState(runtime, train) : await resumedState(options, resume);
    const { folder, keep = 2 } = options.checkpoints ?? {};
    const checkpoints = folder === undefined ? null : new Checkpoints(folder, keep, resume !== undefined);
    const logBytes = resume === undefined ? null : state.logBytes;
    const log = options.log === undefined ? null : new EventLog(options.log, logBytes);
    const progress = new Progress(options.progress ?? false, total, state.step);
    const training = new Training(options, plan, groups, state, checkpoints, log, progress);
    if (resume === undefined) training.event("start", { epochs, total, accumulate, seed, threads });
    return training;
  }

  async run(): Promise<void> {
    const { options, state, groups } = this;
    const { epochs, maxSteps = Infinity, evaluateEvery } = options;
    if (state.evaluationDue) await this.pause(true, false);
    while (state.epoch < epochs && state.step < maxSteps && !this.interrupted) {
      const { batches, endOfEpoch, after } = await groups.next();
      const taken = batches.length > 0 && (await this.step(batches));
      state.source = after;
      if (endOfEpoch) {
        state.epoch++;
        state.running = { loss: 0, steps: 0 };
      }
      const last = state.step >= maxSteps;
      const periodic = evaluateEvery === undefined ? endOfEpoch : taken && state.step % evaluateEvery === 0;
      await this.pause(periodic || last || state.epoch >= epochs, endOfEpoch, taken);
    }
  }

  /** What comes between steps: evaluation, checkpoints, and the end where someone wants it. */
  private async pause(evaluate: boolean, endOfEpoch: boolean, taken = false): Promise<void> {
    const { options, state } = this;
    state.evaluationDue = evaluate && options.evaluation !== undefined && state.evaluatedAt !== state.step;
    if (options.signal?.aborted) this.interrupted = true;
    else if (state.evaluationDue) await this.evaluate();
    const every = options.checkpoints?.every;
    const periodic = every === undefined ? endOfEpoch : taken && state.step % every === 0;
    const evaluated = state.evaluatedAt === state.step && (every === undefined || state.best?.step === state.step);
    const last = state.epoch >= options.epochs || state.step >= (options.maxSteps ?? Infinity);
    // An epoch's end is saved even where its last step was: the data's position differs.
    if (periodic || evaluated || last || this.interrupted) await this.save(endOfEpoch);
  }

  /** Ends everything that was opened. */
  async finish(): Promise<FitResult> {
    this.progress.stop();
    await this.groups.settle();
    const { interrupted, evaluation, checkpoint } = this;
    const { step, epoch, skipped, best } = this.state;
    this.event("end", { interrupted, skipped });
    this.log?.close();
    return { step, epoch, skipped, interrupted, evaluation, best, checkpoint };
  }

  /** The same after `error`, which must not be hidden by another. */
  async fail(error: unknown): Promise<void> {
    this.progress.stop();
    await this.groups.settle();
    try {
      this.event("error", { message: error instanceof Error ? error.message : String(error) });
    } catch {
      // The disk may be what failed.
    }
    this.log?.close();
  }

  /** Whether the step was taken. */
  private async step(batches: Parameters<PackageRuntime["step"]>[0]): Promise<boolean> {
    const { options, state } = this;
    const hyper = this.plan.hyperAt(state.step);
    // An epoch's last step may have one micro-batch: it goes the way of the others.
    const result = await options.runtime.step(batches, hyper, (options.accumulate ?? 1) > 1 ? "phases" : undefined);
    const { step, skipped, skippedInRow, wasSkipped, variant, diagnostics } = result;
    Object.assign(state, { step, skipped, skippedInRow });
    if (!wasSkipped) {
      state.running.loss += diagnostics.loss ?? 0;
      state.running.steps++;
    }
    this.event("step", { variant, wasSkipped, ...finite(diagnostics), ...hyper });
    const { running } = state;
    const loss = running.steps > 0 ? running.loss / running.steps : NaN;
    this.progress.update({ step, epoch: state.epoch, epochs: options.epochs, loss });
    await options.callbacks?.onStep?.(result, { epoch: state.epoch, total: this.plan.total });
    const { maxSkips = 10 } = options;
    if (skippedInRow >= maxSkips) {
      const kept = this.checkpoint ? `the last good checkpoint is ${this.checkpoint}` : "no checkpoint was written";
      throw new UserError(
        `step ${step}: the loss or a gradient was not finite ${skippedInRow} times in a row; training stopped, ${kept}; ` +
          "lower the learning rate or the radius, or look at the data",
      );
    }
    return !wasSkipped;
  }

  private async evaluate(): Promise<void> {
    const { options, state } = this;
    if (!options.evaluation) return;
    const summary = await evaluateAll(options.runtime, options.evaluation, options.signal);
    if (!summary) {
      this.interrupted = true;
      return;
    }
    this.evaluation = summary;
    state.evaluatedAt = state.step;
    state.evaluationDue = false;
    const { loss, examples, metrics } = summary;
    this.event("evaluation", { ...finite({ loss, examples, ...metrics }) });
    const { metric, mode } = options.checkpoints?.best ?? { metric: "loss", mode: "min" };
    const value = { loss, ...metrics }[metric];
    check(
      value !== undefined,
      `the best checkpoint is chosen by "${metric}", which the evaluation does not have: ${["loss", ...Object.keys(metrics)].join(", ")}`,
    );
    const better = state.best === null || (mode === "min" ? value < state.best.value : value > state.best.value);
    if (better && Number.isFinite(value)) state.best = { step: state.step, value };
    await options.callbacks?.onEvaluation?.(summary, { step: state.step, epoch: state.epoch });
  }

  /** Writes a checkpoint; at the end of an epoch again, as what follows differs from what followed the epoch's last step. */
  private async save(again: boolean): Promise<void> {
    const { checkpoints, state, options } = this;
    if (!checkpoints || (this.savedAt === state.step && !again)) return;
    this.savedAt = state.step;
    const seconds = state.seconds + (Date.now() - this.started) / 1000;
    const path = await checkpoints.save(options.runtime, {
      ...state,
      seconds,
      logBytes: this.log?.size ?? state.logBytes,
    });
    this.checkpoint = path;
    await options.callbacks?.onCheckpoint?.(path);
  }

  private event(event: string, rest: Record<string, JsonValue>): void {
    const { step, epoch, seconds } = this.state;
    const elapsed = Math.round(1000 * (seconds + (Date.now() - this.started) / 1000)) / 1000;
    const line: TrainEvent = { event, step, epoch, seconds: elapsed, ...rest };
    this.log?.write(line);
  }
}

/** Where a run starts. */
async function newState(runtime: PackageRuntime, train: BatchSource): Promise<TrainerState> {
  return {
    ...(await runtime.counters()),
    epoch: 0,
    seed: runtime.seed,
    threads: runtime.threads,
    source: train.state(),
    running: { loss: 0, steps: 0 },
    evaluatedAt: -1,
    evaluationDue: false,
    best: null,
    seconds: 0,
    logBytes: 0,
  };
}

/** Where the checkpoint at `path` stood: the runtime and the data go back there. */
async function resumedState({ runtime, train, callbacks }: FitOptions, path: string): Promise<TrainerState> {
  const { state, statePath } = readCheckpoint(path);
  await runtime.loadState(statePath);
  train.restore(state.source);
  const { threads } = runtime;
  if (threads !== state.threads) {
    callbacks?.onNote?.(
      `the checkpoint was made with ${state.threads} threads, this run has ${threads}: its numbers will differ in the last bits`,
    );
  }
  return { ...state, threads };
}

const finite = (values: Readonly<Record<string, number>>): Record<string, JsonValue> =>
  Object.fromEntries(Object.entries(values).map(([name, v]) => [name, Number.isFinite(v) ? v : null]));

function checkCounts(options: FitOptions): void {
  const counts = {
    epochs: options.epochs,
    maxSteps: options.maxSteps,
    accumulate: options.accumulate,
    evaluateEvery: options.evaluateEvery,
    "checkpoints.every": options.checkpoints?.every,
    maxSkips: options.maxSkips,
  };
  for (const [name, value] of Object.entries(counts)) {
    check(
      value === undefined || (Number.isInteger(value) && value >= 1),
      `${name}: ${value}; a whole number from 1 on expected`,
    );
  }
  check(options.train.batchesPerEpoch > 0, "there is nothing to train on: the data set is empty");
}

/** The hyper-parameters of every step: defaults or overrides, times their schedules. */
function hyperSchedule(
  { manifest }: PackageRuntime,
  { hyper = {}, schedules = {} }: FitOptions,
  total: number,
): (t: number) => Record<string, number> {
  const names = Object.keys(manifest.hyper);
  /** `lr` means `hyper/lr` and `hyper/lr/<group>`. */
  const meant = (key: string): string[] => {
    const full = key.startsWith("hyper/") ? key : `hyper/${key}`;
    const found = names.filter((name) => name === full || name.startsWith(`${full}/`));
    check(found.length > 0, () => {
      const short = names.map((name) => name.slice(6));
      return `the package has no hyper-parameter "${key}"; it has ${short.join(", ")}${didYouMean(key, short)}`;
    });
    return found;
  };
  const fixed: Record<string, number> = {};
  // The more a name says, the later it is applied: `lr/head` wins over `lr`.
  for (const [key, value] of Object.entries(hyper).sort(([a], [b]) => a.length - b.length)) {
    check(Number.isFinite(value), `hyper-parameter "${key}": ${value} is not a finite number`);
    for (const name of meant(key)) fixed[name] = value;
  }
  const factors = Object.entries(schedules).flatMap(([key, f]) => meant(key).map((name) => ({ name, f })));
  return (t) => {
    const values = { ...fixed };
    for (const { name, f } of factors)
      values[name] = (values[name] ?? manifest.hyper[name]?.default ?? 0) * f(t, total);
    return values;
  };
}
