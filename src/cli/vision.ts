import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Augmentation } from "../data/vision/augment.js";
import type { BatchPool } from "../data/vision/pool.js";
import { formatOf, type ImageFormat } from "../data/vision/read.js";
import { manifestFile } from "../format/manifest.js";
import { refuseCheckpoints } from "../train/checkpoints.js";
import { check } from "../util/assert.js";
import { makeFolder } from "../util/files.js";
import type { Context } from "./context.js";
import { evaluatePackage } from "./evaluate_run.js";
import { UsageError } from "./failure.js";
import { refuseUnmatched } from "./globs.js";
import { checkImageFlags, type ImageFlags } from "./image_options.js";
import { optimizerOptions, type OptimizerFlags } from "./optimizer.js";
import { RunFolder } from "./run.js";
import { trainPackage, type TrainFlags } from "./train_run.js";
import { VisionData, type Split } from "./vision_data.js";

/** The options of `curvsam vision`. */
export interface VisionFlags extends Omit<OptimizerFlags, "lossScale">, TrainFlags, ImageFlags {
  model: string;
  data: string;
  format?: ImageFormat;
  maxTrain?: number;
  maxTest?: number;
  holdOut: number;
  augment?: Augmentation;
  labelSmoothing?: number;
  workers: number;
  evaluate?: Split;
  weights?: string;
}

/** Trains or evaluates; `chosen`: the options given on the command line that shape a package. */
export async function runVision(context: Context, flags: VisionFlags, chosen: readonly string[]): Promise<void> {
  checkFlags(flags);
  const isPackage = existsSync(join(flags.model, manifestFile));
  if (isPackage && chosen.length > 0) {
    throw new UsageError(
      `${chosen[0]} shapes a training package, and ${flags.model} is one already; give it to curvsam patch`,
    );
  }
  if (!isPackage && flags.output === undefined) throw new UsageError("--output is missing; name the run's folder");
  const format = flags.format ?? formatOf(flags.data);
  const run = new RunFolder(flags.model, flags.output);
  if (flags.evaluate !== undefined) return evaluate(context, isPackage ? flags.model : run.package, flags, format);
  const isNew = !existsSync(run.path);
  const pools: BatchPool[] = [];
  try {
    const folder = isPackage ? flags.model : await openPackage(context, run, flags);
    await trainPackage(context, folder, flags, true, async ({ manifest }) => {
      const data = await VisionData.open(context, manifest, { ...flags, format });
      const { batchSize, seed, dropLast = false } = flags;
      const { source, pool } = data.augmented({ batchSize, seed, dropLast, shuffle: true });
      if (pool) pools.push(pool);
      return {
        train: source,
        measured: data.mixed("train", { batchSize, seed, dropLast }),
        evaluation: data.evaluation(flags.holdOut > 0 ? "valid" : "test", batchSize),
        ...(flags.holdOut > 0 && { test: data.evaluation("test", batchSize) }),
        classes: data.classes,
      };
    });
  } catch (error) {
    if (isNew) run.discardUnused();
    throw error;
  } finally {
    await Promise.all(pools.map((pool) => pool.close()));
  }
}

function checkFlags(flags: VisionFlags): void {
  const { weights, evaluate: split, holdOut: held } = flags;
  if (weights !== undefined && split === undefined)
    throw new UsageError("--weights belongs to --evaluate, which is missing; --init starts from other weights");
  if (split === "valid" && held === 0)
    throw new UsageError("--evaluate valid needs the images that --hold-out keeps back");
  checkImageFlags(flags);
}

function evaluate(context: Context, folder: string, flags: VisionFlags, format: ImageFormat): Promise<void> {
  const { evaluate: split = "test", output: run, weights } = flags;
  check(existsSync(join(folder, manifestFile)), `${folder}: no training package is there; train first`);
  return evaluatePackage(context, folder, { ...flags, run, weights }, async ({ manifest }) =>
    (await VisionData.open(context, manifest, { ...flags, format })).evaluation(split, flags.batchSize),
  );
}

/** Makes the training package of the model in the run's folder, or takes the one that the run to go on with has. */
async function openPackage(context: Context, run: RunFolder, flags: VisionFlags): Promise<string> {
  if (flags.resume !== undefined && existsSync(run.package)) return run.package;
  if (flags.resume === undefined) refuseCheckpoints(run.checkpoints);
  const { lossScale, ...given } = flags;
  const options = await optimizerOptions({ ...given, ...(typeof lossScale === "number" && { lossScale }) });
  const { patch } = await import("../pack/patch.js");
  const { patterns, ...optimizer } = options;
  const { labelSmoothing, augment } = flags;
  makeFolder(run.path);
  const { warnings } = await patch(flags.model, run.package, {
    loss: {
      kind: augment?.mixup === undefined ? "cross-entropy" : "soft-cross-entropy",
      ...(labelSmoothing !== undefined && { labelSmoothing }),
    },
    ...optimizer,
    checkNames: (names) => refuseUnmatched(patterns, names),
    force: true,
  });
  for (const { message } of warnings) context.note(`curvsam: warning: ${message}`);
  return run.package;
}
