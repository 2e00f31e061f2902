import type { Rng } from "../../util/rng.js";
import { channels, type Image } from "./images.js";
import { randAugment, type RandAugmentOptions } from "./rand_augment.js";
import type { ResizedCrop } from "./resized_crop.js";
import { shift } from "./warps.js";

/** What is done to training images; batches of evaluations are never augmented. */
export interface Augmentation {
  /** Mirror an image left to right, with probability ½. */
  flip?: true;
  /** See a random part of the image as it is in its file, resized to the image's size. */
  resizedCrop?: ResizedCrop;
  /** Pad each side with so many black pixels, and cut the image's size out at a random place. */
  crop?: number;
  randAugment?: RandAugmentOptions;
  /** Mix each image with another one of its batch; α of the Beta distribution. */
  mixup?: number;
}

/** `image` with what `augmentation` does to the pixels of one image, drawn from `rng`: crop, flip, RandAugment. */
export function augment(image: Image, augmentation: Augmentation, rng: Rng): Image {
  const { crop, flip, randAugment: operations } = augmentation;
  let result = image;
  if (crop !== undefined) result = randomCrop(result, crop, rng);
  if (flip && rng.int(2) === 1) result = mirror(result);
  if (operations) result = randAugment(result, operations, rng);
  return result;
}

/** The image's size cut out of the image with `padding` black pixels on each side, at a random place. */
export function randomCrop(image: Image, padding: number, rng: Rng): Image {
  const [top, left] = [rng.int(2 * padding + 1) - padding, rng.int(2 * padding + 1) - padding];
  return shift(image, top, left);
}

/** Left and right exchanged. */
export function mirror({ height, width, pixels }: Image): Image {
  const result = new Uint8Array(pixels.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = channels * (y * width + x);
      result.set(pixels.subarray(from, from + channels), channels * (y * width + width - 1 - x));
    }
  }
  return { height, width, pixels: result };
}

/**
 * How a batch of `size` examples is mixed: x̃ᵢ = λ xᵢ + (1 − λ) x_π(i), and targets alike; λ ~ Beta(α, α), π a random permutation, both once
 * a batch. Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization.
 */
export function drawMixup(size: number, alpha: number, rng: Rng): { share: number; partners: Int32Array } {
  return { share: symmetricBeta(alpha, rng), partners: rng.permutation(size) };
}

/** A draw of Beta(α, α): U^(1/α) / (U^(1/α) + V^(1/α)) given that the sum is at most 1, in logarithms. Jöhnk 1964. */
export function symmetricBeta(alpha: number, rng: Rng): number {
  for (;;) {
    const [x, y] = [Math.log(rng.uniform()) / alpha, Math.log(rng.uniform()) / alpha];
    const most = Math.max(x, y);
    const sum = most + Math.log(Math.exp(x - most) + Math.exp(y - most));
    if (sum <= 0) return Math.exp(x - sum);
  }
}
