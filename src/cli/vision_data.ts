import type { SamplerOptions } from "../data/sampler.js";
import type { Augmentation } from "../data/vision/augment.js";
import { ImageBatches } from "../data/vision/batches.js";
import { holdOut, type ImageSet } from "../data/vision/images.js";
import { BatchPool } from "../data/vision/pool.js";
import { formatOf, readImages, type ImageFormat } from "../data/vision/read.js";
import { recipeOf } from "../data/vision/recipe.js";
import type { Manifest } from "../format/manifest.js";
import { visionMeasure } from "../tasks/vision/measure.js";
import type { Evaluation } from "../train/evaluate.js";
import { check } from "../util/assert.js";
import type { Context } from "./context.js";
import { counted } from "./format.js";
import type { ImageFlags } from "./image_options.js";

export const splits = ["train", "valid", "test"] as const;
export type Split = (typeof splits)[number];

interface VisionDataFlags extends ImageFlags {
  data: string;
  format?: ImageFormat | undefined;
  maxTrain?: number;
  maxTest?: number;
  holdOut?: number;
  augment?: Augmentation;
  workers?: number;
}

/** A data set of images for one package. */
export class VisionData {
  private constructor(
    private readonly manifest: Manifest,
    private readonly flags: VisionDataFlags,
    private readonly sets: Readonly<Record<Split, { set: ImageSet; examples: Int32Array }>>,
    private readonly isSorted: boolean,
    private readonly statistics: { mean: readonly number[]; std: readonly number[] },
  ) {}

  static async open(context: Context, manifest: Manifest, flags: VisionDataFlags): Promise<VisionData> {
    const { data, format = formatOf(data), resize, maxTrain, maxTest, holdOut: heldCount = 0 } = flags;
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
    // Class folders are listed one after the other: batches in their order would have one class each.
    return new VisionData(manifest, flags, sets, format === "folder", {
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

  /** Images as they are, in an order of the seed where theirs is that of the classes. */
  mixed(split: Split, sampling: SamplerOptions): ImageBatches {
    return this.batches(split, { ...sampling, shuffle: this.isSorted });
  }

  /** Training images, augmented, and the workers that make their batches. */
  augmented(sampling: SamplerOptions): { source: ImageBatches; pool: BatchPool | null } {
    const { set, examples } = this.sets.train;
    const { augment = {}, workers = 0 } = this.flags;
    const recipe = this.recipe(set, augment);
    const pool = workers > 0 ? new BatchPool({ set, recipe }, workers) : null;
    return { source: new ImageBatches(set, recipe, { ...sampling, examples, ...(pool && { pool }) }), pool };
  }

  evaluation(split: Split, batchSize: number): Evaluation {
    const source = this.batches(split, { batchSize });
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
