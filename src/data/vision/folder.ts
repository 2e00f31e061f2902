import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { check, must } from "../../util/assert.js";
import { onFile } from "../../util/files.js";
import { some } from "../labels.js";
import { decode, type Cut, type Encoded } from "./decode.js";
import { chosen, type ImageData, type ImageSet, type ReadOptions } from "./images.js";

/** Statistics of ImageNet, which most models for photographs expect. */
const statistics = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

const isImage = (name: string): boolean => /\.(jpe?g|png|webp)$/i.test(name);

/** The folder of the test images, under one of its usual names. */
const testNames = ["val", "test"];

/**
 * Reads ImageNet's form: `train/` and `val/` (or `test/`) with a folder for each class, its JPEG, PNG and WebP files within; classes are
 * numbered in the order of their names. Images are resized and cut to a square.
 */
export async function readFolder(folder: string, cut: Cut, options: ReadOptions): Promise<ImageData> {
  const testName = testNames.find((name) => existsSync(join(folder, name)));
  check(testName !== undefined, `${folder}: neither val nor test is there; put the folders of test images into one`);
  const classes = foldersIn(join(folder, "train"));
  check(classes.length > 0, `${join(folder, "train")}: no classes; expected a folder with images for each`);
  const train = await readSplit(join(folder, "train"), classes, cut, options.maxTrain);
  const test = await readSplit(join(folder, testName), classes, cut, options.maxTest);
  return { train, test, statistics };
}

async function readSplit(
  path: string,
  classes: readonly string[],
  cut: Cut,
  most: number | undefined,
): Promise<ImageSet> {
  const there = foldersIn(path);
  check(there.length > 0, `${path}: no classes; expected a folder with images for each`);
  const unknown = there.find((name) => !classes.includes(name));
  check(
    unknown === undefined,
    `${path}: class ${JSON.stringify(unknown)} is not among those to train on: ${some(classes)}`,
  );
  const images = there.flatMap((name): Encoded[] => {
    const within = join(path, name);
    const files = onFile(within, "read", () => readdirSync(within)).filter(isImage);
    check(files.length > 0, `${within}: no images; expected JPEG, PNG or WebP files`);
    return files.sort().map((file) => {
      const source = join(within, file);
      return { name: source, source, label: classes.indexOf(name) };
    });
  });
  const taken = Array.from(chosen(images.length, most), (i) => must(images[i], "an image"));
  const { pixels, labels, skipped, kept } = await decode(path, taken, cut);
  const files = kept.map(({ name }) => name);
  return { path, height: cut.size, width: cut.size, classes, pixels, labels, skipped, files };
}

const foldersIn = (path: string): string[] =>
  onFile(path, "read", () => readdirSync(path))
    .filter((name) => statSync(join(path, name)).isDirectory())
    .sort();
