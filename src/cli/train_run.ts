import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import type { BatchSource } from "../data/batch.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import type { ChunkOption } from "../train/chunks.js";
import type { Evaluation, EvaluationSummary } from "../train/evaluate.js";
import type { Callbacks, FitResult } from "../train/options.js";
import { makeFolder } from "../util/files.js";
import { aboutRun } from "./about.js";
import type { Context } from "./context.js";
import { UsageError } from "./failure.js";
import { counted, metricsText } from "./format.js";
import { addRuntimeOptions, chunkOption, runtimeOptions, type RuntimeFlags } from "./options.js";
import { integer, list } from "./parse.js";
import type { RunFolder } from "./run.js";
import { initLines, warmStart } from "./state_dict.js";
import {
  addGoalOptions,
  addHyperOptions,
  goalOptions,
  hyperOptions,
  type GoalFlags,
  type HyperFlags,
} from "./training.js";
import { addSharpnessOptions, openSharpness, refuseIdleSharpness, type SharpnessFlags } from "./train_sharpness.js";

/** The options of every command that trains, whatever its data is. */
export interface TrainFlags extends RuntimeFlags, HyperFlags, GoalFlags, SharpnessFlags {
  epochs: number;
  maxSteps?: number;
  batchSize: number;
  accumulate: number;
  chunk: ChunkOption;
  seed: number;
  evalEvery?: number;
  saveEvery?: number;
  maxSkips: number;
  dropLast?: true;
  output?: string;
  resume?: string | true;
  init?: string;
  initSkip?: string[];
  ignoreMemory?: true;
  json?: true;
}

/** Adds these options; `batchSize` is the default of `--batch-size`. */
export function addTrainOptions(command: Command, { batchSize = 16 } = {}): Command {
  addRuntimeOptions(command)
    .option("--epochs <n>", "how often to go through the data", integer({ min: 1 }), 3)
    .option("--max-steps <n>", "stop after so many steps", integer({ min: 1 }))
    .option("--batch-size <n>", "examples in a micro-batch", integer({ min: 1 }), batchSize)
    .option("--accumulate <n>", "micro-batches in a step", integer({ min: 1 }), 1)
    .addOption(chunkOption())
    .option("--seed <n>", "seed of the order, the dropout and the probes", integer(), 0);
  return addSharpnessOptions(addGoalOptions(addHyperOptions(command)))
    .option("--eval-every <n>", "steps between evaluations (default: an epoch)", integer({ min: 1 }))
    .option("--save-every <n>", "steps between checkpoints (default: after each evaluation)", integer({ min: 1 }))
    .option("--max-skips <n>", "stop after so many steps in a row that are not finite", integer({ min: 1 }), 10)
    .option("--drop-last", "leave out an epoch's last batch where it is smaller")
    .option("--output <folder>", "the run's folder (default: run in the package)")
    .option("--resume [checkpoint]", "go on from the run's last checkpoint, or from this one")
    .option("--init <file>", "start from these PyTorch weights (safetensors), names and layouts matched")
    .option("--init-skip <globs>", "parameters that --init leaves as they are, a head say", list)
    .option("--ignore-memory", "go on where a step needs more memory than is free, by the estimate before the first")
    .option("--json", "print one JSON document");
}

/** What a command opens once the package is open. */
export interface TrainData {
  train: BatchSource;
  evaluation?: Evaluation | undefined;
  /** What the best checkpoint is measured on at the end. */
  test?: Evaluation | undefined;
  /** The training data in the order of its examples and unchanged: what sharpness is measured on. */
  measured: BatchSource;
  /** Names of the classes, where there are any. */
  classes?: readonly string[] | undefined;
  callbacks?: Callbacks | undefined;
}

/**
 * Trains the package in `folder` on what `open` opens, into the run's folder, and prints what came of it. `evaluates`: whether there
 * will be data to evaluate on.
 */
export async function trainPackage(
  context: Context,
  folder: string,
  flags: TrainFlags,
  evaluates: boolean,
  open: (runtime: PackageRuntime, run: RunFolder) => Promise<TrainData>,
): Promise<void> {
  const goal = goalOptions(flags, evaluates);
  refuseIdle(flags);
  refuseIdleSharpness(flags);
  const [{ RunFolder }, { PackageRuntime }, { fit }] = await Promise.all([
    import("./run.js"),
    import("../runtime/runtime.js"),
    import("../train/fit.js"),
  ]);
  const run = new RunFolder(folder, flags.output);
  const isNew = !existsSync(run.path);
  const runtime = await PackageRuntime.open(folder, {
    ...runtimeOptions(flags),
    seed: flags.seed,
    ignoreMemory: flags.ignoreMemory,
    ...((flags.provider ?? "cpu") === "cpu" && { lowered: run.lowered }),
  });
  let sharpness: Awaited<ReturnType<typeof openSharpness>> | undefined;
  try {
    const data = await open(runtime, run);
    const init = flags.init === undefined ? undefined : await warmStart(runtime, flags.init, flags.initSkip);
    if (flags.init !== undefined && init && !flags.json) {
      for (const line of initLines(flags.init, init)) context.print(line);
    }
    makeFolder(run.path);
    sharpness = await openSharpness(runtime, data.measured, flags, runtimeOptions(flags));
    const result = await fit({
      runtime,
      train: data.train,
      epochs: flags.epochs,
      maxSteps: flags.maxSteps,
      accumulate: flags.accumulate,
      chunk: flags.chunk,
      ...hyperOptions(flags),
      maxSkips: flags.maxSkips,
      evaluation: data.evaluation,
      evaluateEvery: flags.evalEvery,
      checkpoints: { folder: run.checkpoints, every: flags.saveEvery, ...goal.checkpoints },
      earlyStopping: goal.earlyStopping,
      resume: flags.resume === true ? run.checkpoints : flags.resume,
      log: run.log,
      about: aboutRun(data.classes),
      progress: context.interactive && flags.json === undefined,
      signal: context.signal,
      callbacks: [
        {
          onNote: (line) => context.note(`curvsam: ${line}`),
          onEvaluation: (summary, at) => {
            if (!flags.json)
              context.print(`step ${at.step}, epoch ${at.epoch}/${flags.epochs}: ${summaryText(summary)}`);
          },
        },
        ...(data.callbacks ? [data.callbacks] : []),
        ...sharpness.callbacks,
      ],
    });
    await runtime.saveWeights(run.weights);
    const test = data.test && !result.interrupted ? await testBest(runtime, data.test, run, result, context) : null;
    if (flags.json) {
      const { path, weights } = run;
      context.printJson({ run: path, weights, ...(init && { init }), ...result, ...(data.test && { test }) });
    } else {
      if (test) context.print(`test, at step ${test.step}: ${summaryText(test)}`);
      for (const line of closing(result, run.weights)) context.print(line);
    }
  } catch (error) {
    if (isNew) run.discardUnused();
    throw error;
  } finally {
    await sharpness?.close();
    await runtime.close();
  }
}

/** Measures the run's best checkpoint, or where evaluations ranked none, the last weights; null where the user stopped it. */
async function testBest(
  runtime: PackageRuntime,
  test: Evaluation,
  run: RunFolder,
  { best, step }: FitResult,
  { signal }: Context,
): Promise<(EvaluationSummary & { step: number }) | null> {
  const [{ loadWeights, weightsAt }, { evaluateAll }] = await Promise.all([
    import("./run.js"),
    import("../train/evaluate.js"),
  ]);
  if (best) await loadWeights(runtime, await weightsAt(join(run.checkpoints, `checkpoint-${best.step}`)));
  const summary = await evaluateAll(runtime, test, signal);
  return summary && { step: best?.step ?? step, ...summary };
}

function refuseIdle({ init, initSkip, resume }: TrainFlags): void {
  if (init !== undefined && resume !== undefined) {
    throw new UsageError("--init starts a run and --resume goes on with one; give one of them");
  }
  if (init === undefined && initSkip !== undefined)
    throw new UsageError("--init-skip belongs to --init, which is missing");
}

const summaryText = ({ loss, metrics }: EvaluationSummary): string => metricsText({ loss, ...metrics });

function closing({ step, skipped, interrupted, stopped, checkpoint }: FitResult, weights: string): string[] {
  const skips = skipped > 0 ? `, ${counted(skipped, "step")} skipped for values that are not finite` : "";
  const done = `${interrupted ? "interrupted after" : "trained"} ${counted(step, "step")}${skips}: ${weights}`;
  if (stopped !== null) return [`stopped: ${stopped}`, done];
  return interrupted && checkpoint !== null ? [done, `go on with --resume from ${checkpoint}`] : [done];
}
