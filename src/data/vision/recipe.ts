import { check } from "../../util/assert.js";
import { Rng } from "../../util/rng.js";
import type { Batch, Feed, InputSpec } from "../batch.js";
import { makeFeed } from "../feed.js";
import type { SamplerPlace } from "../sampler.js";
import { augment, drawMixup, type Augmentation } from "./augment.js";
import { channels, imageAt, type Image, type ImageSet, type Statistics } from "./images.js";

/** How images become a batch of the model. */
export interface Recipe {
  input: { name: string; spec: InputSpec };
  target: { name: string; spec: InputSpec };
  statistics: Statistics;
  augmentation: Augmentation;
}

/** The examples of one batch, and the batch's place, by which its random numbers are keyed. */
export interface BatchTask {
  rows: Int32Array;
  place: SamplerPlace;
}

/** Whether the target is a probability of each class rather than a class. */
export const isSoft = ({ spec }: Recipe["target"]): boolean => spec.shape.length === 2;

/** The recipe for a model with these inputs and targets; throws `UserError` where images do not fit them. */
export function recipeOf(
  set: ImageSet,
  inputs: Readonly<Record<string, InputSpec>>,
  targets: Readonly<Record<string, InputSpec>>,
  { statistics, augmentation }: Pick<Recipe, "statistics" | "augmentation">,
): Recipe {
  const [input, ...otherInputs] = Object.entries(inputs);
  const [target, ...otherTargets] = Object.entries(targets);
  check(input && otherInputs.length === 0, `the model has ${otherInputs.length + 1} inputs; images fill one`);
  check(target && otherTargets.length === 0, `the package has ${Object.keys(targets).length} targets; images fill one`);
  const [name, spec] = input;
  const expected = [channels, set.height, set.width];
  const fits = spec.shape.slice(1).every((dim, i) => typeof dim !== "number" || dim === expected[i]);
  check(
    spec.dtype === "float32" && spec.shape.length === 4 && fits,
    `the model's "${name}" is ${spec.dtype} [${spec.shape.join(", ")}]; images of ${set.path} are float32 [batch, ${expected.join(", ")}]`,
  );
  const recipe = {
    ...{ input: { name, spec }, target: { name: target[0], spec: target[1] }, statistics, augmentation },
  };
  check(
    augmentation.mixup === undefined || isSoft(recipe.target),
    `mixup makes probabilities of classes, but the package's loss takes classes; patch with --loss soft-cross-entropy`,
  );
  return recipe;
}

/** The batch of a task: depends on nothing but its arguments, in whichever thread it is made. */
export async function makeBatch(set: ImageSet, recipe: Recipe, { rows, place }: BatchTask): Promise<Batch> {
  const { augmentation, input, target } = recipe;
  const { seed, epoch, position } = place;
  const mix =
    augmentation.mixup === undefined
      ? null
      : drawMixup(rows.length, augmentation.mixup, new Rng(seed, "mixup", epoch, position));
  const size = channels * set.height * set.width;
  const images = new Float32Array(rows.length * size);
  const normalise = tables(recipe.statistics);
  await Promise.all(
    Array.from(rows, async (row, i) => {
      const rng = new Rng(seed, "augment", epoch, row);
      const image = augment(await seen(set, row, augmentation, rng), augmentation, rng);
      planes(image.pixels, normalise, images.subarray(i * size, (i + 1) * size));
    }),
  );
  const labels = targetFeed(set, rows, target);
  return {
    size: rows.length,
    feeds: {
      [input.name]: {
        dtype: "float32",
        dims: [rows.length, channels, set.height, set.width],
        data: mix ? mixed(images, size, mix) : images,
      },
      [target.name]:
        mix && labels.data instanceof Float32Array
          ? { ...labels, data: mixed(labels.data, set.classes.length, mix) }
          : labels,
    },
  };
}

/** What is seen of an image: all that is held of it, or a random part of it. */
async function seen(set: ImageSet, row: number, { resizedCrop }: Augmentation, rng: Rng): Promise<Image> {
  if (!resizedCrop) return imageAt(set, row);
  return (await import("./decode.js")).decodeCrop(set, row, resizedCrop, rng);
}

/** (level / 255 − mean) / std of each channel, by level. */
const tables = ({ mean, std }: Statistics): Float32Array[] =>
  mean.map((m, c) => Float32Array.from({ length: 256 }, (_, level) => (level / 255 - m) / (std[c] ?? 1)));

/** Pixel by pixel to normalised channel by channel. */
function planes(pixels: Uint8Array, normalise: readonly Float32Array[], out: Float32Array): void {
  const area = out.length / channels;
  normalise.forEach((table, c) => {
    for (let k = 0; k < area; k++) out[c * area + k] = table[pixels[channels * k + c] ?? 0] ?? 0;
  });
}

function targetFeed({ labels, classes }: ImageSet, rows: Int32Array, target: Recipe["target"]): Feed {
  const { name, spec } = target;
  const soft = isSoft(target);
  return makeFeed(name, spec.dtype, soft ? [rows.length, classes.length] : [rows.length], (set) => {
    rows.forEach((row, i) => {
      const label = labels[row] ?? 0;
      if (soft) set(i * classes.length + label, 1);
      else set(i, label);
    });
  });
}

/** Rows of `width` numbers, each with its share of itself and the rest of its partner. */
function mixed(
  rows: Float32Array,
  width: number,
  { share, partners }: { share: number; partners: Int32Array },
): Float32Array {
  const result = new Float32Array(rows.length);
  partners.forEach((partner, i) => {
    for (let k = 0; k < width; k++) {
      const own = rows[i * width + k] ?? 0;
      result[i * width + k] = share * own + (1 - share) * (rows[partner * width + k] ?? 0);
    }
  });
  return result;
}
