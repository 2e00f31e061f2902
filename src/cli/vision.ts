import { existsSync } from "node:fs";
import { join } from "node:path";
import type { SamplerOptions } from "../data/sampler.js";
import type { Augmentation } from "../data/vision/augment.js";
import { ImageBatches } from "../data/vision/batches.js";
import { holdOut, type ImageSet } from "../data/vision/images.js";
import { BatchPool } from "../data/vision/pool.js";
import { formatOf, readImages, type ImageFormat } from "../data/vision/read.js";
import { recipeOf } from "../data/vision/recipe.js";
import { manifestFile, type Manifest } from "../format/manifest.js";
import { visionMeasure } from "../tasks/vision/measure.js";
import { refuseCheckpoints } from "../train/checkpoints.js";
import type { Evaluation } from "../train/evaluate.js";
import { check } from "../util/assert.js";
import { makeFolder } from "../util/files.js";
import type { Context } from "./context.js";
import { evaluatePackage } from "./evaluate_run.js";
import { UsageError } from "./failure.js";
import { counted } from "./format.js";
import { refuseUnmatched } from "./globs.js";
import { optimizerOptions, type OptimizerFlags } from "./optimizer.js";
import { RunFolder } from "./run.js";
import { trainPackage, type TrainFlags } from "./train_run.js";

export const splits = ["train", "valid", "test"] as const;
type Split = (typeof splits)[number];

/** The options of `curvsam vision`. */
export interface VisionFlags extends Omit<OptimizerFlags, "lossScale">, TrainFlags {
  model: string;
  data: string;
  format?: ImageFormat;
  imageSize?: number;
  resize?: number;
  mean?: number[];
  std?: number[];
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
      const data = await VisionData.open(context, manifest, flags, format);
      const { batchSize, seed, dropLast = false } = flags;
      const { source, pool } = data.augmented({ batchSize, seed, dropLast, shuffle: true });
      if (pool) pools.push(pool);
      return {
        train: source,
        measured: data.batches("train", { batchSize, dropLast }),
        evaluation: data.evaluation(flags.holdOut > 0 ? "valid" : "test"),
        ...(flags.holdOut > 0 && { test: data.evaluation("test") }),
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

function checkFlags({ weights, evaluate: split, holdOut: held, mean, std }: VisionFlags): void {
  if (weights !== undefined && split === undefined)
    throw new UsageError("--weights belongs to --evaluate, which is missing; --init starts from other weights");
  if (split === "valid" && held === 0)
    throw new UsageError("--evaluate valid needs the images that --hold-out keeps back");
  for (const [flag, values] of Object.entries({ "--mean": mean, "--std": std })) {
    if (values !== undefined && values.length !== 3)
      throw new UsageError(`${flag}: ${counted(values.length, "number")}; expected three, of red, green and blue`);
  }
}

function evaluate(context: Context, folder: string, flags: VisionFlags, format: ImageFormat): Promise<void> {
  const { evaluate: split = "test", output: run, weights } = flags;
  check(existsSync(join(folder, manifestFile)), `${folder}: no training package is there; train first`);
  return evaluatePackage(context, folder, { ...flags, run, weights }, async ({ manifest }) =>
    (await VisionData.open(context, manifest, flags, format)).evaluation(split),
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

/** A data set for one package. */
class VisionData {
  private constructor(
    private readonly manifest: Manifest,
    private readonly flags: VisionFlags,
    private readonly sets: Readonly<Record<Split, { set: ImageSet; examples: Int32Array }>>,
    private readonly statistics: { mean: readonly number[]; std: readonly number[] },
  ) {}

  static async open(
    context: Context,
    manifest: Manifest,
    flags: VisionFlags,
    format: ImageFormat,
  ): Promise<VisionData> {
    const { data, resize, maxTrain, maxTest, holdOut: heldCount } = flags;
    const size = flags.imageSize ?? sizeOf(manifest);
    const { train, test, statistics } = await readImages(data, { format, size, resize, maxTrain, maxTest });
    for (const { path, skipped } of [train, test]) {
      for (const { path: image, reason } of skipped.slice(0, 5)) context.note(`curvsam: ${image}: left out: ${reason}`);
      if (skipped.length > 0) context.note(`curvsam: ${path}: ${counted(skipped.length, "image")} left out`);
    }
    const { classes } = manifest.loss;
    check(
      typeof classes !== "number" || classes === train.classes.length,
      `the model has ${String(classes)} classes, ${train.path} has ${train.classes.length}; export the model for as many`,
    );
    const { kept, held } = holdOut(train.path, train.labels.length, heldCount);
    const sets = {
      train: { set: train, examples: kept },
      valid: { set: train, examples: held },
      test: { set: test, examples: Int32Array.from(test.labels.keys()) },
    };
    return new VisionData(manifest, flags, sets, {
      mean: flags.mean ?? statistics.mean,
      std: flags.std ?? statistics.std,
    });
  }

  get classes(): readonly string[] {
    return this.sets.train.set.classes;
  }

  /** Images as they are. */
  batches(split: Split, sampling: SamplerOptions): ImageBatches {
    const { set, examples } = this.sets[split];
    return new ImageBatches(set, this.recipe(set, {}), { ...sampling, examples });
  }

  /** Training images, augmented, and the workers that make their batches. */
  augmented(sampling: SamplerOptions): { source: ImageBatches; pool: BatchPool | null } {
    const { set, examples } = this.sets.train;
    const recipe = this.recipe(set, this.flags.augment ?? {});
    const pool = this.flags.workers > 0 ? new BatchPool({ set, recipe }, this.flags.workers) : null;
    return { source: new ImageBatches(set, recipe, { ...sampling, examples, ...(pool && { pool }) }), pool };
  }

  evaluation(split: Split): Evaluation {
    const source = this.batches(split, { batchSize: this.flags.batchSize });
    return { source, measure: visionMeasure(this.manifest) };
  }

  private recipe(set: ImageSet, augmentation: Augmentation) {
    const { inputs, targets } = this.manifest;
    return recipeOf(set, inputs, targets, { statistics: this.statistics, augmentation });
  }
}

/** The height of the model's images, where it is fixed. */
function sizeOf({ inputs }: Manifest): number | undefined {
  const height = Object.values(inputs)[0]?.shape[2];
  return typeof height === "number" ? height : undefined;
}
