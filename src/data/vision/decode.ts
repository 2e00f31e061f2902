import { totalmem } from "node:os";
import sharp from "sharp";
import { check } from "../../util/assert.js";
import { channels, makePixels, type ImageSet, type Skipped } from "./images.js";

/** An image to decode: its bytes or its file, what messages call it, and its class. */
export interface Encoded {
  name: string;
  source: string | Uint8Array;
  label: number;
}

/** Images that are decoded at a time; libvips has threads of its own beside, which small images do not need. */
const lanes = 8;
/** Where more than this fraction does not decode, the data set is not what it should be. */
const mostSkipped = 0.01;

/**
 * Decodes images to `size` by `size` bytes: the shorter side is resized to it and the middle cut out, as usual for evaluations on ImageNet.
 * Images that do not decode are left out; more than 1 % of them is a `UserError` that names the first.
 */
export async function decode(
  path: string,
  images: readonly Encoded[],
  size: number,
): Promise<Pick<ImageSet, "pixels" | "labels" | "skipped">> {
  const bytes = size * size * channels;
  check(
    images.length * bytes < totalmem(),
    `${path}: ${images.length} images of ${size}x${size} take ${gigabytes(images.length * bytes)} of memory, this machine ` +
      `has ${gigabytes(totalmem())}; use smaller or fewer images`,
  );
  sharp.concurrency(1);
  sharp.cache(false);
  const pixels = makePixels(images.length, size, size);
  const failures: (Skipped | undefined)[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let i = next++; i < images.length; i = next++) {
      const image = images[i];
      if (!image) return;
      try {
        pixels.set(await decodeOne(image.source, size), i * bytes);
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
  return without(failures, { pixels, labels: Int32Array.from(images, ({ label }) => label) }, bytes, skipped);
}

async function decodeOne(source: string | Uint8Array, size: number): Promise<Buffer> {
  const image = sharp(source).resize(size, size, { fit: "cover" }).toColourspace("srgb").removeAlpha();
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
  check(info.channels === channels, `it has ${info.channels} channels; expected red, green and blue`);
  return data;
}

/** Closes the gaps that images without pixels left. */
function without(
  failures: readonly (Skipped | undefined)[],
  { pixels, labels }: Pick<ImageSet, "pixels" | "labels">,
  bytes: number,
  skipped: readonly Skipped[],
): Pick<ImageSet, "pixels" | "labels" | "skipped"> {
  let kept = 0;
  labels.forEach((label, i) => {
    if (failures[i]) return;
    if (kept < i) pixels.copyWithin(kept * bytes, i * bytes, (i + 1) * bytes);
    labels[kept++] = label;
  });
  return { pixels: pixels.subarray(0, kept * bytes), labels: labels.slice(0, kept), skipped };
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** The first line of what the library says, which ends where its own trace begins. */
const reasonOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "it does not decode";
