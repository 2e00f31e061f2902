import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { channels, makePixels, type ImageSet } from "../../src/data/vision/images.js";
import { Rng } from "../../src/util/rng.js";

/** A made-up picture of class `label`: its own colour with a slope, and noise. [side, side, 3] */
export function picture(label: number, side: number, seed: number): Uint8Array {
  const rng = new Rng("picture", label, seed);
  return Uint8Array.from({ length: channels * side * side }, (_, k) => {
    const [c, x] = [k % channels, Math.trunc(k / channels) % side];
    return (c === label % channels ? 150 : 50) + (label >= channels ? 3 * x : 0) + rng.int(30);
  });
}

/** `count` made-up pictures of `classes` classes by turns, in memory. */
export function pictures(count: number, { classes = 3, side = 8 } = {}): ImageSet {
  const pixels = makePixels(count, side, side);
  for (let i = 0; i < count; i++) pixels.set(picture(i % classes, side, i), channels * side * side * i);
  return {
    ...{ path: "pictures", height: side, width: side, pixels, skipped: [] },
    labels: Int32Array.from({ length: count }, (_, i) => i % classes),
    classes: Array.from({ length: classes }, (_, i) => `class ${i}`),
  };
}

/** A record of CIFAR's binary form: `labels`, then red, green and blue. */
function record(labels: readonly number[], seed: number): Uint8Array {
  const pixels = picture(labels.at(-1) ?? 0, 32, seed);
  const planes = [0, 1, 2].flatMap((c) => Array.from(pixels.filter((_, k) => k % channels === c)));
  return Uint8Array.from([...labels, ...planes]);
}

/** Writes CIFAR-10's files: `train` pictures of ten classes by turns in the first batch, one in each other, and `test` others. */
export function writeCifar10(folder: string, train: number, test: number): void {
  mkdirSync(folder, { recursive: true });
  const records = (from: number, count: number): Uint8Array =>
    Buffer.concat(Array.from({ length: count }, (_, i) => record([(from + i) % 10], from + i)));
  for (const n of [1, 2, 3, 4, 5])
    writeFileSync(join(folder, `data_batch_${n}.bin`), n === 1 ? records(0, train) : records(n, 1));
  writeFileSync(join(folder, "test_batch.bin"), records(1000, test));
}

/** Writes CIFAR-100's files, with one picture each: coarse label 7, fine label 42. */
export function writeCifar100(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const name of ["train.bin", "test.bin"]) writeFileSync(join(folder, name), record([7, 42], 0));
}

/** Writes train/ and val/ with a folder for each class, its pictures PNG and JPEG by turns. */
export async function writeClassFolders(folder: string, classes: readonly string[], each: number): Promise<void> {
  for (const part of ["train", "val"]) {
    for (const [label, name] of classes.entries()) {
      mkdirSync(join(folder, part, name), { recursive: true });
      for (let i = 0; i < each; i++) {
        const raw = { raw: { width: 12, height: 12, channels: 3 } } as const;
        const image = sharp(picture(label, 12, i), raw);
        const file = join(folder, part, name, `${i}`);
        await (i % 2 === 0 ? image.png().toFile(`${file}.png`) : image.jpeg().toFile(`${file}.JPEG`));
      }
    }
  }
}
