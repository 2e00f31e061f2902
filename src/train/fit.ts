import type { Batch, BatchSource } from "../data/batch.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import { UserError } from "../util/assert.js";
import type { JsonValue } from "../util/json.js";
import { Checkpoints, readCheckpoint, type TrainerState } from "./checkpoints.js";
import { evaluateAll, type EvaluationSummary } from "./evaluate.js";
import { curvatureTensors, meanCurvature } from "./curvature.js";
import { EventLog, type TrainEvent } from "./events.js";
import { checkMetric, goalName, rank, resolveGoal, valueOf, watch, type ResolvedGoal } from "./goals.js";
import { Groups } from "./groups.js";
import { hyperSchedule } from "./hyper.js";
import { firstLossScale, leastLossScale, lossScaleHyper, nextLossScale } from "./loss_scale.js";
import { checkOptions, type Callbacks, type FitMoment, type FitOptions, type FitResult } from "./options.js";
import { Progress } from "./progress.js";

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

/** Lines of curvature in a run, where nothing else is said. */
const curvatureLines = 50;

/** What follows from the options before the first step. */
interface Plan {
  total: number;
  hyperAt: (t: number) => Record<string, number>;
  /** Steps between lines of curvature. */
  curvatureEvery: number;
  /** What ranks the best checkpoints, and what early stopping goes by. */
  best: ResolvedGoal;
  watched: ResolvedGoal;
}

class Training {
  private readonly started = Date.now();
  private readonly callbacks: readonly Callbacks[];
  private interrupted = false;
  private stopped: string | null = null;
  private evaluation: EvaluationSummary | null = null;
  private checkpoint: string | null = null;
  /** The checkpoint to go back to: this run's last, or the one that it went on from. */
  private fallback: string | null = null;
  /** Step of the last checkpoint. */
  private savedAt = -1;

  private constructor(
    private readonly options: FitOptions,
    private readonly plan: Plan,
    private readonly groups: Groups,
    private readonly state: TrainerState,
    private readonly checkpoints: Checkpoints | null,
    private readonly log: EventLog | null,
    private readonly progress: Progress,
  ) {
    this.callbacks = callbacksOf(options);
  }

  static async start(options: FitOptions): Promise<Training> {
    const { runtime, train, epochs, accumulate = 1, maxSteps = Infinity, resume } = options;
    const { threads, seed } = runtime;
    checkOptions(options);
    const groups = new Groups(train, accumulate);
    const total = Math.min(maxSteps, epochs * groups.perEpoch);
    // Whatever can be wrong is looked at before the first file is touched.
    const plan = {
      ...{ total, hyperAt: hyperSchedule(runtime.manifest, options, total), ...goals(options) },
      curvatureEvery: curvatureTensors(runtime.manifest)
        ? (options.curvatureEvery ?? Math.ceil(total / curvatureLines))
        : Infinity,
    };
    const firstScale = options.lossScale ? firstLossScale(runtime.manifest, options.hyper ?? {}) : null;
    const resumed = resume === undefined ? null : await resumedState(options, resume);
    const state = resumed?.state ?? (await newState(runtime, train));
    state.lossScale = firstScale && (state.lossScale ?? firstScale);
    forgetOtherGoals(state, plan, options);
    const { folder, keep = 2 } = options.checkpoints ?? {};
    const checkpoints = folder === undefined ? null : new Checkpoints(folder, keep, resume !== undefined);
    const logBytes = resume === undefined ? null : state.logBytes;
    const log = options.log === undefined ? null : new EventLog(options.log, logBytes);
    const progress = new Progress(options.progress ? process.stderr : null, total, state.step);
    const training = new Training(options, plan, groups, state, checkpoints, log, progress);
    training.fallback = resumed?.path ?? null;
    if (!resumed) {
      const elements = curvatureTensors(runtime.manifest);
      const about = { ...(options.about && { about: options.about }), ...(elements && { elements }) };
      training.event("start", { epochs, total, accumulate, seed, threads, ...about });
    }
    return training;
  }

  async run(): Promise<void> {
    const { options, state, groups } = this;
    const { epochs, maxSteps = Infinity, evaluateEvery } = options;
    if (state.evaluationDue) await this.pause(true, false);
    this.checkPatience();
    while (!this.done && !this.over) {
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

  /** Whether all steps were taken. */
  private get done(): boolean {
    const { epochs, maxSteps = Infinity } = this.options;
    return this.state.epoch >= epochs || this.state.step >= maxSteps;
  }

  /** Whether someone ended the run. */
  private get over(): boolean {
    return this.interrupted || this.stopped !== null;
  }

  /** What comes between steps: evaluation, checkpoints, and the end where someone wants it. */
  private async pause(evaluate: boolean, endOfEpoch: boolean, taken = false): Promise<void> {
    const { options, state } = this;
    state.evaluationDue = evaluate && options.evaluation !== undefined && state.evaluatedAt !== state.step;
    if (options.signal?.aborted) this.interrupted = true;
    else if (state.evaluationDue) await this.evaluate();
    const every = options.checkpoints?.every;
    const periodic = every === undefined ? endOfEpoch : taken && state.step % every === 0;
    const evaluated = state.evaluatedAt === state.step && (every === undefined || this.isRanked());
    // An epoch's end is saved even where its last step was: the data's position differs.
    if (periodic || evaluated || this.done || this.over) await this.save(endOfEpoch);
  }

  /** Whether the evaluation of this step is among the best. */
  private isRanked(): boolean {
    return this.state.ranking.some(({ step }) => step === this.state.step);
  }

  /** Ends training where evaluations have not been better for too long; a resume with more patience goes on. */
  private checkPatience(): void {
    const { patience = Infinity } = this.options.earlyStopping ?? {};
    const { stale, by, best } = this.state.patience;
    if (stale < patience || this.done) return;
    const than = best === null ? "nothing" : String(Number(best.toPrecision(4)));
    this.stopped ??= `the ${by} was not better than ${than} in ${stale} evaluation${stale === 1 ? "" : "s"} in a row`;
  }

  /** Ends everything that was opened. */
  async finish(): Promise<FitResult> {
    this.progress.stop();
    await this.groups.settle();
    const { interrupted, stopped, evaluation, checkpoint } = this;
    const { step, epoch, skipped, ranking } = this.state;
    this.event("end", { interrupted, skipped, stopped });
    this.log?.close();
    const best = ranking[0] ?? null;
    const result: FitResult = { step, epoch, skipped, interrupted, stopped, evaluation, best, checkpoint };
    for (const each of this.callbacks) await each.onEnd?.(result);
    return result;
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
  private async step(batches: readonly Batch[]): Promise<boolean> {
    const { options, state } = this;
    const { lossScale } = state;
    const hyper = { ...this.plan.hyperAt(state.step), ...(lossScale && lossScaleHyper(lossScale)) };
    const before = performance.now();
    // An epoch's last step may have one micro-batch: it goes the way of the others.
    const result = await options.runtime.step(batches, hyper, (options.accumulate ?? 1) > 1 ? "phases" : undefined);
    const { step, skipped, skippedInRow, wasSkipped, variant, diagnostics } = result;
    Object.assign(state, { step, skipped, skippedInRow });
    if (lossScale && options.lossScale) state.lossScale = nextLossScale(lossScale, wasSkipped, options.lossScale);
    if (!wasSkipped) {
      state.running.loss += diagnostics.loss ?? 0;
      state.running.steps++;
    }
    this.event("step", { variant, wasSkipped, ...finite(diagnostics), ...hyper });
    if (!wasSkipped && this.log && step % this.plan.curvatureEvery === 0) {
      this.event("curvature", { mean: finite(await meanCurvature(options.runtime)) });
    }
    const { running } = state;
    const loss = running.steps > 0 ? running.loss / running.steps : NaN;
    const examples = batches.reduce((sum, { size }) => sum + size, 0);
    const seconds = (performance.now() - before) / 1000;
    this.progress.update({ step, epoch: state.epoch, epochs: options.epochs, loss, examples, seconds });
    for (const each of this.callbacks) await each.onStep?.(result, this.moment());
    const { maxSkips = 10 } = options;
    // A scale that can still be halved may be all that overflows.
    if (skippedInRow >= maxSkips && (lossScale?.scale ?? 0) <= leastLossScale) {
      const kept = this.fallback ? `the last good checkpoint is ${this.fallback}` : "no checkpoint was written";
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
    const { loss, examples, metrics, confusion } = summary;
    this.event("evaluation", { ...finite({ loss, examples, ...metrics }), ...(confusion && { confusion }) });
    const { best, watched } = this.plan;
    const all = { loss, ...metrics };
    state.ranking = rank(
      state.ranking,
      { step: state.step, value: valueOf(best, all) },
      best.mode,
      options.checkpoints?.keepBest ?? 1,
    );
    const { minDelta = 0 } = options.earlyStopping ?? {};
    if (options.earlyStopping) {
      state.patience = watch(state.patience, valueOf(watched, all), watched.mode, minDelta);
      this.checkPatience();
    }
    for (const each of this.callbacks) await each.onEvaluation?.(summary, this.moment());
  }

  /** What callbacks are told of now. */
  private moment(): FitMoment {
    const { step, epoch } = this.state;
    return {
      ...{ step, epoch, total: this.plan.total },
      stop: (reason = "a callback ended it") => {
        this.stopped ??= reason;
      },
      log: (event, values) => this.event(event, values),
    };
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
    this.fallback = path;
    for (const each of this.callbacks) await each.onCheckpoint?.(path, this.moment());
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
    ranking: [],
    rankedBy: "",
    patience: { by: "", best: null, stale: 0 },
    lossScale: null,
    seconds: 0,
    logBytes: 0,
  };
}

/** Where the checkpoint at `path` stood: the runtime and the data go back there. */
async function resumedState(options: FitOptions, from: string): Promise<{ state: TrainerState; path: string }> {
  const { runtime, train } = options;
  const { state, statePath, path } = readCheckpoint(from);
  await runtime.loadState(statePath);
  train.restore(state.source);
  const { threads } = runtime;
  if (threads !== state.threads) {
    note(
      options,
      `the checkpoint was made with ${state.threads} threads, this run has ${threads}: its numbers will differ in the last bits`,
    );
  }
  return { state: { ...state, threads }, path };
}

const callbacksOf = ({ callbacks = [] }: FitOptions): readonly Callbacks[] =>
  Array.isArray(callbacks) ? (callbacks as readonly Callbacks[]) : [callbacks as Callbacks];

function note(options: FitOptions, line: string): void {
  for (const each of callbacksOf(options)) each.onNote?.(line);
}

/** The goals of a run; a metric that the evaluation is known not to have is refused. */
function goals({ checkpoints, earlyStopping, evaluation }: FitOptions): Pick<Plan, "best" | "watched"> {
  const best = resolveGoal(checkpoints?.best);
  const watched = earlyStopping?.metric === undefined ? best : resolveGoal(earlyStopping);
  const measured = evaluation?.measure === undefined ? [] : evaluation.measure.metrics;
  if (evaluation && measured) for (const goal of [best, watched]) checkMetric(goal, ["loss", ...measured]);
  return { best, watched };
}

/** Puts the run's goals into its state; what a checkpoint remembers of others is of no use any more. */
function forgetOtherGoals(state: TrainerState, { best, watched }: Plan, options: FitOptions): void {
  const by = goalName(best);
  if (state.ranking.length > 0 && state.rankedBy !== by) {
    note(options, `the checkpoint ranked evaluations by the ${state.rankedBy}; from here on the ${by} counts alone`);
    state.ranking = [];
  }
  state.rankedBy = by;
  if (state.patience.by !== goalName(watched)) state.patience = { by: goalName(watched), best: null, stale: 0 };
}

const finite = (values: Readonly<Record<string, number>>): Record<string, JsonValue> =>
  Object.fromEntries(Object.entries(values).map(([name, v]) => [name, Number.isFinite(v) ? v : null]));
