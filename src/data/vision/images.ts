import { check } from "../../util/assert.js";
import { Rng } from "../../util/rng.js";

/** One image: bytes of red, green and blue by turns, row by row. */
export interface Image {
  height: number;
  width: number;
  pixels: Uint8Array;
}

export const channels = 3;

/** Images of one size, one after another in memory that threads share. */
export interface ImageSet {
  /** The file or folder that they were read from. */
  path: string;
  height: number;
  width: number;
  /** [count, height, width, 3] */
  pixels: Uint8Array;
  labels: Int32Array;
  /** Names of the classes, in the order of their ids. */
  classes: readonly string[];
  /** The file of each image, where `pixels` has but the middle of it, resized. */
  files?: readonly string[];
  /** Images that did not decode, and are left out. */
  skipped: readonly Skipped[];
}

export interface Skipped {
  path: string;
  reason: string;
}

/** The training and the test images of a data set. */
export interface ImageData {
  train: ImageSet;
  test: ImageSet;
  /** What pixels are usually normalised with. */
  statistics: Statistics;
}

/** Mean and standard deviation of red, green and blue, with pixels from 0 to 1. */
export interface Statistics {
  mean: readonly number[];
  std: readonly number[];
}

/** How much of a data set is read; what is left out is never decoded. */
export interface ReadOptions {
  /** At most so many images for training, and for tests: a random choice that is always the same. */
  maxTrain?: number | undefined;
  maxTest?: number | undefined;
}

/** Room for `count` images that worker threads can read without a copy. */
export const makePixels = (count: number, height: number, width: number): Uint8Array =>
  new Uint8Array(new SharedArrayBuffer(count * height * width * channels));

export function imageAt({ height, width, pixels }: ImageSet, i: number): Image {
  const size = height * width * channels;
  return { height, width, pixels: pixels.subarray(i * size, (i + 1) * size) };
}

/** `most` of `count` images, in ascending order: files often hold one class after another, so the first would not do. */
export function chosen(count: number, most: number | undefined): Int32Array {
  const all = Int32Array.from({ length: count }, (_, i) => i);
  return most === undefined || most >= count ? all : new Rng("images").permutation(count).slice(0, most).sort();
}

/** Splits `count` images into those to train on and `held` others, by the same rule as `chosen`. */
export function holdOut(path: string, count: number, held: number): { kept: Int32Array; held: Int32Array } {
  check(held < count, `${path}: ${held} images to hold out, but there are ${count}; hold out fewer`);
  const out = chosen(count, held);
  const isOut = new Set(out);
  return { kept: chosen(count, undefined).filter((i) => !isOut.has(i)), held: held === 0 ? new Int32Array() : out };
}
