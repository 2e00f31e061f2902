import type { Rng } from "../../util/rng.js";

/** How much of an image is seen, and in which shapes; numbers of torchvision's names. */
export interface ResizedCrop {
  /** The least and the largest share of the image's area. */
  scale: readonly [least: number, largest: number];
  /** The least and the largest width over height. */
  ratio: readonly [least: number, largest: number];
}

/** A part of an image, in pixels. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

const attempts = 10;

/**
 * A random part of an image of that size: an area share uniform in `scale`, a ratio uniform in log `ratio`, then a place. Where ten draws do not
 * fit within the image, the largest middle part whose ratio is in `ratio`. Szegedy et al. 2015, as torchvision's `RandomResizedCrop`
 * has it.
 */
export function drawBox(
  { height, width }: Pick<Box, "height" | "width">,
  { scale, ratio }: ResizedCrop,
  rng: Pick<Rng, "uniform" | "int">,
): Box {
  const [least, largest] = ratio;
  const between = ([from, to]: readonly [number, number]): number => from + (to - from) * rng.uniform();
  for (let attempt = 0; attempt < attempts; attempt++) {
    const area = height * width * between(scale);
    const shape = Math.exp(between([Math.log(least), Math.log(largest)]));
    const box = { width: Math.round(Math.sqrt(area * shape)), height: Math.round(Math.sqrt(area / shape)) };
    if (box.width < 1 || box.width > width || box.height < 1 || box.height > height) continue;
    return { ...box, top: rng.int(height - box.height + 1), left: rng.int(width - box.width + 1) };
  }
  const box = {
    width: Math.min(width, Math.round(height * largest)),
    height: Math.min(height, Math.round(width / least)),
  };
  return { ...box, top: Math.floor((height - box.height) / 2), left: Math.floor((width - box.width) / 2) };
}
