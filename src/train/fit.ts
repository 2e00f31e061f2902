import type { Batch } from "../data/batch.js";
import type { StepResult } from "../runtime/engine.js";
import { requireFastHalf } from "../runtime/precision.js";
import { UserError } from "../util/assert.js";
import type { JsonValue } from "../util/json.js";
import { Chunks, checkChunk } from "./chunks.js";
import { Checkpoints, type TrainerState } from "./checkpoints.js";
import { evaluateAll, type EvaluationSummary } from "./evaluate.js";
import { curvatureElements, curvatureKinds, meanCurvature } from "./curvature.js";
import { EventLog, type TrainEvent } from "./events.js";
import { rank, valueOf, watch } from "./goals.js";
import { Groups, type Group } from "./groups.js";
import { dynamicLossScale, firstLossScale, leastLossScale, lossScaleHyper, nextLossScale } from "./loss_scale.js";
import { checkOptions, type Callbacks, type FitMoment, type FitOptions, type FitResult } from "./options.js";
import { planOf, type Plan } from "./plan.js";
import { Progress } from "./progress.js";
import { callbacksOf, forgetOtherGoals, newState, note, resumedState } from "./start.js";

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
  private readonly callbacks: readonly Callbacks[];
  private interrupted = false;
  private stopped: string | null = null;
  private evaluation: EvaluationSummary | null = null;
  private checkpoint: string | null = null;
  /** The checkpoint to go back to: this run's last, or the one that it went on from. */
  private fallback: string | null = null;
  /** Step of the last checkpoint. */
  private savedAt = -1;
  private readonly chunks: Chunks;

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
    const chunk = (options.accumulate ?? 1) > 1 ? "off" : (options.chunk ?? "off");
    this.chunks = new Chunks(options.runtime, chunk, (line) => note(options, line));
  }

  static async start(options: FitOptions): Promise<Training> {
    const { runtime, train, epochs, accumulate = 1, maxSteps = Infinity, resume } = options;
    const { threads, seed } = runtime;
    checkOptions(options);
    requireFastHalf(runtime.manifest, runtime.provider);
    const groups = new Groups(train, accumulate);
    checkChunk(runtime.manifest, { chunk: options.chunk ?? "off", accumulate, stepsPerEpoch: groups.perEpoch });
    const total = Math.min(maxSteps, epochs * groups.perEpoch);
    // Whatever can be wrong is looked at before the first file is touched.
    const plan = planOf(options, total);
    const firstScale = dynamicLossScale(options) ? firstLossScale(runtime.manifest, options.hyper ?? {}) : null;
    const resumed = resume === undefined ? null : await resumedState(options, resume);
    const state = resumed?.state ?? (await newState(runtime, train));
    state.lossScale = firstScale && (state.lossScale ?? firstScale);
    forgetOtherGoals(state, plan, options);
    const { folder, keep = 2 } = options.checkpoints ?? {};
    const checkpoints = folder === undefined ? null : new Checkpoints(folder, keep, resume !== undefined);
    const logBytes = resume === undefined ? null : state.logBytes;
    let log: EventLog | null;
    try {
      log = options.log === undefined ? null : new EventLog(options.log, logBytes);
    } catch (error) {
      checkpoints?.close();
      throw error;
    }
    const progress = new Progress(options.progress ? process.stderr : null, total, state.step);
    const training = new Training(options, plan, groups, state, checkpoints, log, progress);
    training.fallback = resumed?.path ?? null;
    if (!resumed) {
      const elements = curvatureElements(runtime.manifest);
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
      const group = await groups.next();
      const { batches, endOfEpoch } = group;
      const followers = await this.followers(group);
      const taken =
        followers.length > 0
          ? await this.stepsAtOnce([group, ...followers])
          : batches.length > 0 && (await this.step(batches));
      if (taken === null) continue;
      state.source = (followers.at(-1) ?? group).after;
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
    try {
      this.event("end", { interrupted, skipped, stopped });
    } finally {
      this.close();
    }
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
    this.close();
  }

  private close(): void {
    this.log?.close();
    this.checkpoints?.close();
  }

  /** The groups that are one run with `group`; none where its step is taken by itself. */
  private async followers({ batches: [batch, ...others] }: Group): Promise<Group[]> {
    if (!batch || others.length > 0) return [];
    const { options, plan, state, groups, chunks } = this;
    const { maxSteps = Infinity, evaluateEvery = Infinity, checkpoints } = options;
    const looks = this.callbacks.map(({ every }) => every);
    const periods = [evaluateEvery, checkpoints?.every, this.log ? plan.curvatureEvery : undefined, ...looks];
    const due = periods.map((every = Infinity) => every - (state.step % every));
    const wanted = await chunks.next(state.step, Math.min(maxSteps - state.step, ...due), batch);
    const followers: Group[] = [];
    while (followers.length + 1 < wanted && followers.at(-1)?.endOfEpoch !== true) followers.push(await groups.next());
    const there = 1 + followers.filter(({ endOfEpoch }) => !endOfEpoch).length;
    groups.putBack(followers.splice(Math.max(0, there - (there % chunks.period) - 1)));
    return followers;
  }

  /** Takes a step for each group in one run; null where the run was taken back, and the groups come again. */
  private async stepsAtOnce(groups: readonly Group[]): Promise<true | null> {
    const { options, state, chunks } = this;
    const [first, count] = [state.step, groups.length];
    const hyper = this.hyperOf(count);
    const before = performance.now();
    const { results, failed } = await options.runtime.steps(
      groups.flatMap(({ batches }) => batches),
      hyper,
    );
    if (failed !== null) {
      chunks.takenBack(count);
      this.groups.putBack(groups);
      note(
        options,
        `step ${first + failed + 1}: the loss or a gradient is not finite; the run of ${count} steps from ${first + 1} on is taken ` +
          "back, and its steps are taken one by one",
      );
      return null;
    }
    const seconds = (performance.now() - before) / 1000;
    chunks.took(count, seconds);
    for (const [i, result] of results.entries()) {
      await this.stepped(result, hyper[i] ?? {}, groups[i]?.batches ?? [], seconds / count);
    }
    return true;
  }

  /** Whether the step was taken. */
  private async step(batches: readonly Batch[]): Promise<boolean> {
    const { options } = this;
    const [hyper = {}] = this.hyperOf(1);
    const before = performance.now();
    // An epoch's last step may have one micro-batch: it goes the way of the others.
    const result = await options.runtime.step(batches, hyper, (options.accumulate ?? 1) > 1 ? "phases" : undefined);
    await this.stepped(result, hyper, batches, (performance.now() - before) / 1000);
    return !result.wasSkipped;
  }

  /** Hyper-parameters of the next steps, all of them taken. */
  private hyperOf(steps: number): Record<string, number>[] {
    const { options, plan, state } = this;
    const dynamic = dynamicLossScale(options);
    let scale = state.lossScale;
    return Array.from({ length: steps }, (_, i) => {
      const hyper = { ...plan.hyperAt(state.step + i), ...(scale && lossScaleHyper(scale)) };
      if (scale && dynamic) scale = nextLossScale(scale, false, dynamic);
      return hyper;
    });
  }

  /** What follows from a step: the log, the progress bar, callbacks, and the end where too many are skipped. */
  private async stepped(
    result: StepResult,
    hyper: Readonly<Record<string, number>>,
    batches: readonly Batch[],
    seconds: number,
  ): Promise<void> {
    const { options, state } = this;
    const { lossScale } = state;
    const dynamic = dynamicLossScale(options);
    const { step, skipped, skippedInRow, wasSkipped, variant, diagnostics } = result;
    Object.assign(state, { step, skipped, skippedInRow });
    if (lossScale && dynamic) state.lossScale = nextLossScale(lossScale, wasSkipped, dynamic);
    if (!wasSkipped) {
      state.running.loss += diagnostics.loss ?? 0;
      state.running.steps++;
    }
    this.event("step", { variant, wasSkipped, ...finite(diagnostics), ...hyper });
    if (!wasSkipped && this.log && step % this.plan.curvatureEvery === 0) {
      const { runtime } = options;
      for (const of of curvatureKinds(runtime.manifest)) {
        this.event("curvature", { of, mean: finite(await meanCurvature(runtime, of)) });
      }
    }
    const { running } = state;
    const loss = running.steps > 0 ? running.loss / running.steps : NaN;
    const examples = batches.reduce((sum, { size }) => sum + size, 0);
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

const finite = (values: Readonly<Record<string, number>>): Record<string, JsonValue> =>
  Object.fromEntries(Object.entries(values).map(([name, v]) => [name, Number.isFinite(v) ? v : null]));
