import { totalmem } from "node:os";
import sharp, { type Sharp } from "sharp";
import { check, UserError } from "../../util/assert.js";
import type { Rng } from "../../util/rng.js";
import { channels, imageAt, makePixels, type Image, type ImageSet, type Skipped } from "./images.js";
import { drawBox, type Box, type ResizedCrop } from "./resized_crop.js";

/** An image to decode: its bytes or its file, what messages call it, and its class. */
export interface Encoded {
  name: string;
  source: string | Uint8Array;
  label: number;
}

/** Images that are decoded at a time. */
const lanes = 8;
// libvips would have threads of its own beside, which small images do not need, and keep images that are seen once.
sharp.concurrency(1);
sharp.cache(false);
/** As torchvision resizes. */
const kernel = "linear";
/** Where more than this fraction does not decode, the data set is not what it should be. */
const mostSkipped = 0.01;

/** Height and width of the images, and what the shorter side of each is resized to before they are cut out of the middle. */
export interface Cut {
  size: number;
  resize: number;
}

/**
 * Decodes images to `size` by `size` bytes: the shorter side is resized to `resize` and the middle cut out, as usual for evaluations on ImageNet.
 * Images that do not decode are left out; more than 1 % of them is a `UserError` that names the first.
 */
export async function decode(
  path: string,
  images: readonly Encoded[],
  cut: Cut,
): Promise<Pick<ImageSet, "pixels" | "labels" | "skipped"> & { kept: readonly Encoded[] }> {
  const { size } = cut;
  const bytes = size * size * channels;
  check(
    images.length * bytes < totalmem(),
    `${path}: ${images.length} images of ${size}x${size} take ${gigabytes(images.length * bytes)} of memory, this machine ` +
      `has ${gigabytes(totalmem())}; use smaller or fewer images`,
  );
  const pixels = makePixels(images.length, size, size);
  const failures: (Skipped | undefined)[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let i = next++; i < images.length; i = next++) {
      const image = images[i];
      if (!image) return;
      try {
        pixels.set(await decodeOne(image.source, cut), i * bytes);
      } catch (error) {
        failures[i] = { path: image.name, reason: reasonOf(error) };
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, work));
  const skipped = failures.filter((each) => each !== undefined);
  const [first] = skipped;
  check(
    !first || skipped.length <= mostSkipped * images.length,
    () =>
      `${path}: ${skipped.length} of ${images.length} images do not decode, more than 1 %; the first is ` +
      `${first?.path ?? ""}: ${first?.reason ?? ""}`,
  );
  // Closes the gaps that images without pixels left.
  const kept = images.filter((_, i) => !failures[i]);
  let end = 0;
  for (let i = 0; i < images.length; i++) {
    if (failures[i]) continue;
    if (end < i) pixels.copyWithin(end * bytes, i * bytes, (i + 1) * bytes);
    end++;
  }
  const labels = Int32Array.from(kept, ({ label }) => label);
  return { pixels: pixels.subarray(0, end * bytes), labels, skipped, kept };
}

function decodeOne(source: string | Uint8Array, { size, resize }: Cut): Promise<Buffer> {
  const margin = Math.round((resize - size) / 2);
  const square = sharp(source).resize(resize, resize, { fit: "cover", kernel });
  return bytesOf(margin > 0 ? square.extract({ left: margin, top: margin, width: size, height: size }) : square);
}

/** A random part of image `row`, of its file where it has one, resized to the size of the set's images. */
export async function decodeCrop(set: ImageSet, row: number, crop: ResizedCrop, rng: Rng): Promise<Image> {
  const { height, width } = set;
  const file = set.files?.[row];
  try {
    const source =
      file === undefined ? sharp(imageAt(set, row).pixels, { raw: { height, width, channels } }) : sharp(file);
    const box = drawBox(await source.metadata(), crop, rng);
    const pixels = await resizePart(source, box, width, height);
    return { height, width, pixels };
  } catch (error) {
    throw new UserError(`${file ?? `${set.path} image ${row}`}: ${reasonOf(error)}`);
  }
}

/** The pixels of a part of an image, resized. [height, width, 3] */
export const resizePart = (image: Sharp, box: Box, width: number, height: number): Promise<Buffer> =>
  bytesOf(image.extract(box).resize(width, height, { fit: "fill", kernel }));

async function bytesOf(image: Sharp): Promise<Buffer> {
  const { data, info } = await image.toColourspace("srgb").removeAlpha().raw().toBuffer({ resolveWithObject: true });
  check(info.channels === channels, `it has ${info.channels} channels; expected red, green and blue`);
  return data;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** The first line of what the library says, which ends where its own trace begins. */
const reasonOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "it does not decode";
