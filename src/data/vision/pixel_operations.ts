import { channels, type Image } from "./images.js";

/** Pillow's operations on levels of colour, bit for bit. Each makes a new image. */

const levels = 256;

/** Each channel's levels exchanged by a table of its own, made from how often each occurs; fractions are cut off. */
function withTables(image: Image, tableOf: (counts: Int32Array) => (level: number) => number): Image {
  const pixels = new Uint8Array(image.pixels.length);
  for (let c = 0; c < channels; c++) {
    const counts = new Int32Array(levels);
    for (let k = c; k < pixels.length; k += channels) {
      const level = image.pixels[k] ?? 0;
      counts[level] = (counts[level] ?? 0) + 1;
    }
    const entry = tableOf(counts);
    const table = Uint8ClampedArray.from({ length: levels }, (_, level) => Math.trunc(entry(level)));
    for (let k = c; k < pixels.length; k += channels) pixels[k] = table[image.pixels[k] ?? 0] ?? 0;
  }
  return { ...image, pixels };
}

/** Each channel stretched to the full range. */
export const autoContrast = (image: Image): Image =>
  withTables(image, (counts) => {
    const low = counts.findIndex((count) => count > 0);
    const high = counts.findLastIndex((count) => count > 0);
    if (high <= low) return (level) => level;
    const scale = (levels - 1) / (high - low);
    return (level) => level * scale + -low * scale;
  });

/** Each channel's levels made about equally frequent. */
export const equalize = (image: Image): Image =>
  withTables(image, (counts) => {
    const top = counts[counts.findLastIndex((count) => count > 0)] ?? 0;
    const step = Math.floor((counts.reduce((sum, count) => sum + count, 0) - top) / (levels - 1));
    if (step === 0) return (level) => level;
    const table: number[] = [];
    let below = Math.floor(step / 2);
    for (const count of counts) {
      table.push(Math.floor(below / step));
      below += count;
    }
    return (level) => table[level] ?? level;
  });

/** The upper `bits` of each level. */
export const posterize = (image: Image, bits: number): Image =>
  withTables(image, () => (level) => level & ~(2 ** (8 - bits) - 1));

/** Levels from `threshold` on inverted. */
export const solarize = (image: Image, threshold: number): Image =>
  withTables(image, () => (level) => (level < threshold ? level : levels - 1 - level));

/** base + factor · (image − base) in float32, cut off; `baseOf` gives the level of the base at pixel i. */
function blend(image: Image, factor: number, baseOf: (pixel: number) => number): Image {
  const alpha = Math.fround(factor);
  const pixels = new Uint8Array(image.pixels.length);
  for (let k = 0; k < pixels.length; k++) {
    const base = baseOf(Math.trunc(k / channels));
    const value = Math.fround(base + Math.fround(alpha * ((image.pixels[k] ?? 0) - base)));
    pixels[k] = Math.min(levels - 1, Math.max(0, value));
  }
  return { ...image, pixels };
}

/** Pillow's luma of pixel i. */
function luma({ pixels }: Image, i: number): number {
  const [r = 0, g = 0, b = 0] = pixels.subarray(channels * i, channels * (i + 1));
  return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
}

/** Towards black (`factor` 0) or away from it (above 1). */
export const adjustBrightness = (image: Image, factor: number): Image => blend(image, factor, () => 0);

/** Towards the grey image or away from it. */
export const adjustColor = (image: Image, factor: number): Image => blend(image, factor, (i) => luma(image, i));

/** Towards the mean luma or away from it. */
export function adjustContrast(image: Image, factor: number): Image {
  const count = image.height * image.width;
  let sum = 0;
  for (let i = 0; i < count; i++) sum += luma(image, i);
  const mean = Math.trunc(sum / count + 0.5);
  return blend(image, factor, () => mean);
}
