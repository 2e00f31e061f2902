import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { check } from "../../util/assert.js";
import { unreadable } from "../cells.js";
import { decode, type Encoded } from "./decode.js";
import { channels, chosen, makePixels, type ImageData, type ImageSet, type ReadOptions } from "./images.js";

const side = 32;
const area = side * side;

const cifar10Classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/** Statistics of the training images, as is usual. */
const cifar10Statistics = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
const cifar100Statistics = { mean: [0.5071, 0.4865, 0.4409], std: [0.2673, 0.2564, 0.2762] };

/** One of the forms in which CIFAR is handed out. */
interface Form {
  train: readonly string[];
  test: readonly string[];
  /** The file of the classes' names, which may be missing; names where it is. */
  names: string;
  classes: readonly string[];
  /** Bytes of labels before an image; the last one is taken. */
  labelBytes: number;
}

const cifar10: Form = {
  ...{ train: [1, 2, 3, 4, 5].map((n) => `data_batch_${n}.bin`), test: ["test_batch.bin"], labelBytes: 1 },
  ...{ names: "batches.meta.txt", classes: cifar10Classes },
};
const cifar100: Form = {
  ...{ train: ["train.bin"], test: ["test.bin"], labelBytes: 2 },
  ...{ names: "fine_label_names.txt", classes: Array.from({ length: 100 }, (_, i) => String(i)) },
};

/**
 * Reads CIFAR-10 in its binary form (Krizhevsky 2009): `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, records of a label
 * and 3 × 1024 bytes, channel by channel. Throws `UserError` for a file that is missing or of another length.
 */
export async function readCifar10(folder: string, options: ReadOptions): Promise<ImageData> {
  return { ...(await readForm(folder, cifar10, options)), statistics: cifar10Statistics };
}

/** Reads CIFAR-100 alike: `train.bin` and `test.bin`, records with a coarse label and then the fine one, which is taken. */
export async function readCifar100(folder: string, options: ReadOptions): Promise<ImageData> {
  return { ...(await readForm(folder, cifar100, options)), statistics: cifar100Statistics };
}

async function readForm(
  folder: string,
  form: Form,
  { maxTrain, maxTest }: ReadOptions,
): Promise<Omit<ImageData, "statistics">> {
  const classes = await readNames(join(folder, form.names), form.classes);
  const read = (files: readonly string[], most: number | undefined): Promise<ImageSet> =>
    readRecords(
      folder,
      files.map((name) => join(folder, name)),
      { classes, labelBytes: form.labelBytes, most },
    );
  return { train: await read(form.train, maxTrain), test: await read(form.test, maxTest) };
}

async function readNames(path: string, usual: readonly string[]): Promise<readonly string[]> {
  if (!existsSync(path)) return usual;
  const text = await readFile(path, "utf8").catch((error: unknown) => unreadable(path, error));
  const names = text.split(/\r?\n/).filter((line) => line !== "");
  check(names.length === usual.length, `${path}: ${names.length} names of classes, expected ${usual.length}`);
  return names;
}

async function readRecords(
  folder: string,
  paths: readonly string[],
  { classes, labelBytes, most }: { classes: readonly string[]; labelBytes: number; most: number | undefined },
): Promise<ImageSet> {
  const record = labelBytes + channels * area;
  const files = await Promise.all(
    paths.map(async (path) => {
      const bytes = await readFile(path).catch((error: unknown) => unreadable(path, error));
      check(
        bytes.length > 0 && bytes.length % record === 0,
        `${path}: ${bytes.length} bytes, expected a multiple of ${record}, the bytes of an image; fetch it again`,
      );
      return { path, bytes };
    }),
  );
  const records = files.flatMap(({ path, bytes }) =>
    Array.from({ length: bytes.length / record }, (_, i) => ({
      at: `${path} image ${i}`,
      bytes: bytes.subarray(i * record, (i + 1) * record),
    })),
  );
  const taken = chosen(records.length, most);
  const pixels = makePixels(taken.length, side, side);
  const labels = new Int32Array(taken.length);
  taken.forEach((k, i) => {
    const { at = "", bytes = new Uint8Array() } = records[k] ?? {};
    const label = bytes[labelBytes - 1] ?? 0;
    check(
      label < classes.length,
      () => `${at}: label ${label}, expected 0 to ${classes.length - 1}; is it ${folder}'s?`,
    );
    labels[i] = label;
    interleave(bytes.subarray(labelBytes), pixels.subarray(i * channels * area, (i + 1) * channels * area));
  });
  return { path: folder, height: side, width: side, pixels, labels, classes, skipped: [] };
}

/** From channel by channel to pixel by pixel. */
function interleave(planes: Uint8Array, pixels: Uint8Array): void {
  for (let c = 0; c < channels; c++) {
    for (let k = 0; k < area; k++) pixels[channels * k + c] = planes[c * area + k] ?? 0;
  }
}

/**
 * Reads CIFAR-10 as JPEGs of one common header, packed in `train.c10j` and `test.c10j`: "C10J", the count and the header's length (both
 * 32 bits, little endian), the header, then the label (8 bits) and the length (16 bits) of each image, then the rest of each one's file.
 */
export async function readPackedJpeg(folder: string, { maxTrain, maxTest }: ReadOptions): Promise<ImageData> {
  const read = (name: string, most: number | undefined): Promise<ImageSet> => unpack(join(folder, name), most);
  return {
    train: await read("train.c10j", maxTrain),
    test: await read("test.c10j", maxTest),
    statistics: cifar10Statistics,
  };
}

async function unpack(path: string, most: number | undefined): Promise<ImageSet> {
  const file = await readFile(path).catch((error: unknown) => unreadable(path, error));
  const isPacked = file.length >= 12 && file.toString("latin1", 0, 4) === "C10J";
  check(isPacked, `${path}: it does not begin with C10J; expected packed JPEGs of CIFAR-10`);
  const count = file.readUInt32LE(4);
  const header = file.subarray(12, 12 + file.readUInt32LE(8));
  const table = 12 + header.length;
  let end = table + 3 * count;
  check(end <= file.length, `${path}: it ends before the first of ${count} images; fetch it again`);
  const images: Encoded[] = [];
  for (let i = 0; i < count; i++) {
    const [label, start] = [file.readUInt8(table + 3 * i), end];
    end += file.readUInt16LE(table + 3 * i + 1);
    check(end <= file.length, `${path}: it ends within image ${i} of ${count}; fetch it again`);
    check(label < cifar10Classes.length, `${path} image ${i}: label ${label}, expected 0 to 9`);
    images.push({ name: `${path} image ${i}`, source: Buffer.concat([header, file.subarray(start, end)]), label });
  }
  check(end === file.length, `${path}: ${file.length - end} bytes behind the last image; fetch it again`);
  const taken = Array.from(chosen(images.length, most), (i) => images[i]).filter((image) => image !== undefined);
  const { pixels, labels, skipped } = await decode(path, taken, { size: side, resize: side });
  return { path, height: side, width: side, classes: cifar10Classes, pixels, labels, skipped };
}
