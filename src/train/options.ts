import type { BatchSource } from "../data/batch.js";
import type { StepResult } from "../runtime/engine.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import { check } from "../util/assert.js";
import type { ChunkOption } from "./chunks.js";
import type { JsonValue } from "../util/json.js";
import type { Evaluation, EvaluationSummary } from "./evaluate.js";
import type { EarlyStopping, Goal } from "./goals.js";
import type { HyperOptions } from "./hyper.js";
import type { DynamicLossScale } from "./loss_scale.js";

export interface FitOptions extends HyperOptions {
  runtime: PackageRuntime;
  train: BatchSource;
  epochs: number;
  /** Stop after so many steps, wherever the epoch stands. */
  maxSteps?: number | undefined;
  /** Micro-batches in a step; default 1. */
  accumulate?: number | undefined;
  /** Let the scale of the loss follow the gradients: halved where one overflows, doubled after a while without. */
  lossScale?: DynamicLossScale | undefined;
  /**
   * Steps that are one run of the runtime: a number, `auto` (as many as fit and take a few seconds) or `off`, the default.
   * Results are the same, bit for bit; callbacks, the log and `signal` come into play at the end of a run. It takes graphs that
   * are lowered (`EngineOptions.lowered`); without, steps are taken one by one.
   */
  chunk?: ChunkOption | undefined;
  evaluation?: Evaluation | undefined;
  /** Steps between evaluations; default: after each epoch. */
  evaluateEvery?: number | undefined;
  /** End before the last epoch where evaluations no longer get better; default: never. Its metric is `checkpoints.best`'s. */
  earlyStopping?: EarlyStopping | undefined;
  checkpoints?: CheckpointOptions | undefined;
  /** A checkpoint, or the folder of checkpoints whose last is meant, to go on from. */
  resume?: string | undefined;
  /** File of the event log (JSON lines). */
  log?: string | undefined;
  /** What the log's first line says of the run beside: its command, say. */
  about?: Record<string, JsonValue> | undefined;
  /** Steps between lines of the log that hold each tensor's mean curvature, where the optimizer has any; default: about fifty in a run. */
  curvatureEvery?: number | undefined;
  /** Draw a progress bar where stderr is a terminal; default false. */
  progress?: boolean | undefined;
  /** Training stops when so many steps in a row are skipped, a dynamic scale of the loss being at its least; default 10. */
  maxSkips?: number | undefined;
  /** Aborting it finishes the step, or the run of several, saves a checkpoint and returns. */
  signal?: AbortSignal | undefined;
  /** One set of callbacks, or several, called in their order. */
  callbacks?: Callbacks | readonly Callbacks[] | undefined;
}

export interface CheckpointOptions {
  folder: string;
  /** Steps between checkpoints; default: after each evaluation, or each epoch where there is none. */
  every?: number | undefined;
  /** How many of the last are kept; default 2. The best are kept beside them. */
  keep?: number | undefined;
  /** How many of the best evaluations keep their checkpoints; default 1. */
  keepBest?: number | undefined;
  /** What makes an evaluation the best; default: the lowest `loss`. */
  best?: Goal | undefined;
}

/** Where training stands when a callback is called. */
export interface FitMoment {
  /** Steps taken, and epochs completed. */
  step: number;
  epoch: number;
  /** Steps that the run has in all, unless it is stopped. */
  total: number;
  /**
   * Ends training as soon as the step is over: a due evaluation still runs, a checkpoint is saved, and `fit` returns with
   * `reason` as its `stopped`. Unlike an interruption it is an end, not a break.
   */
  stop(reason?: string): void;
  /** Adds a line to the run's log: an event of the callback's own, and what it says. */
  log(event: string, values: Record<string, JsonValue>): void;
}

/** Called, and waited for, as training goes on; an error that one throws ends the run with that error. */
export interface Callbacks {
  /** For an `onStep` that looks at the parameters: no run of several steps goes beyond a multiple of so many. */
  readonly every?: number | undefined;
  /** After each step, also one that was skipped. */
  onStep?(result: StepResult, at: FitMoment): void | Promise<void>;
  /** After each evaluation, before its checkpoint. */
  onEvaluation?(summary: EvaluationSummary, at: FitMoment): void | Promise<void>;
  /** After each checkpoint; `path` is its folder. */
  onCheckpoint?(path: string, at: FitMoment): void | Promise<void>;
  /** Once, when all is written and closed, also after an interruption; not after an error. */
  onEnd?(result: FitResult): void | Promise<void>;
  /** Something to tell the user that is no error. */
  onNote?(line: string): void;
}

export interface FitResult {
  /** Steps taken and epochs completed, those before a resume included. */
  step: number;
  epoch: number;
  skipped: number;
  interrupted: boolean;
  /** Why training ended before its last step, where a callback or early stopping ended it. */
  stopped: string | null;
  /** The last evaluation of this run. */
  evaluation: EvaluationSummary | null;
  best: { step: number; value: number } | null;
  /** The last checkpoint that this run wrote. */
  checkpoint: string | null;
}

/** Refuses counts that are not whole numbers from 1 on, and what has nothing to work on. */
export function checkOptions(options: FitOptions): void {
  const { earlyStopping, evaluation, train, checkpoints } = options;
  const counts = {
    epochs: options.epochs,
    maxSteps: options.maxSteps,
    accumulate: options.accumulate,
    evaluateEvery: options.evaluateEvery,
    curvatureEvery: options.curvatureEvery,
    "checkpoints.every": checkpoints?.every,
    "checkpoints.keepBest": checkpoints?.keepBest,
    "earlyStopping.patience": earlyStopping?.patience,
    maxSkips: options.maxSkips,
    "lossScale.growthInterval": options.lossScale?.growthInterval,
  };
  for (const [name, value] of Object.entries(counts)) {
    check(
      value === undefined || (Number.isInteger(value) && value >= 1),
      `${name}: ${value}; a whole number from 1 on expected`,
    );
  }
  const { minDelta = 0 } = earlyStopping ?? {};
  check(minDelta >= 0, `earlyStopping.minDelta: ${minDelta}; a number from 0 on expected`);
  check(
    earlyStopping === undefined || evaluation !== undefined,
    "early stopping needs evaluations: give data to evaluate on",
  );
  check(train.batchesPerEpoch > 0, "there is nothing to train on: the data set is empty");
}
