import { existsSync } from "node:fs";
import { join } from "node:path";
import { check, UserError } from "../../util/assert.js";
import type { ImageData, ReadOptions } from "./images.js";

/** The forms of data sets of images, and a file or folder that each is known by. */
const marks = {
  cifar10: "data_batch_1.bin",
  cifar100: "train.bin",
  "cifar10-jpeg": "train.c10j",
  folder: "train",
} as const;
export type ImageFormat = keyof typeof marks;
export const imageFormats = Object.keys(marks) as ImageFormat[];

/** The form of the data set in `folder`, by what is in it; throws `UserError` where there is none. */
export function formatOf(folder: string): ImageFormat {
  const found = imageFormats.find((format) => existsSync(join(folder, marks[format])));
  if (found) return found;
  if (!existsSync(folder)) throw new UserError(`${folder}: no such folder`);
  throw new UserError(
    `${folder}: no data set of images is there; expected ${Object.values(marks)
      .join(", ")
      .replace(/, (\w+)$/, " or a folder $1")}`,
  );
}

/**
 * Reads the data set in `folder`. `size`: height and width of the images of class folders; they are cut out of the middle of what is `resize`
 * pixels on its shorter side (default: `size`).
 */
export async function readImages(
  folder: string,
  {
    format = formatOf(folder),
    size,
    resize,
    ...options
  }: ReadOptions & { format?: ImageFormat | undefined; size?: number | undefined; resize?: number | undefined },
): Promise<ImageData> {
  if (format === "folder") {
    check(
      size !== undefined,
      `${folder}: images of folders are resized, and the model says not to what; give --image-size`,
    );
    check(
      resize === undefined || resize >= size,
      `${folder}: images resized to ${resize} pixels have no ${size}x${size} to cut out; give a larger --resize`,
    );
    return (await import("./folder.js")).readFolder(folder, { size, resize: resize ?? size }, options);
  }
  check(resize === undefined, `${folder}: --resize is for images of class folders, and ${format} has none`);
  const { readCifar10, readCifar100, readPackedJpeg } = await import("./cifar.js");
  const read = { cifar10: readCifar10, cifar100: readCifar100, "cifar10-jpeg": readPackedJpeg }[format];
  return read(folder, options);
}
