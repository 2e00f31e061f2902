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

/** Reads the data set in `folder`. `size`: height and width that the images of class folders are resized to. */
export async function readImages(
  folder: string,
  {
    format = formatOf(folder),
    size,
    ...options
  }: ReadOptions & { format?: ImageFormat | undefined; size?: number | undefined },
): Promise<ImageData> {
  if (format === "folder") {
    check(
      size !== undefined,
      `${folder}: images of folders are resized, and the model says not to what; give --image-size`,
    );
    return (await import("./folder.js")).readFolder(folder, size, options);
  }
  const { readCifar10, readCifar100, readPackedJpeg } = await import("./cifar.js");
  const read = { cifar10: readCifar10, cifar100: readCifar100, "cifar10-jpeg": readPackedJpeg }[format];
  return read(folder, options);
}
