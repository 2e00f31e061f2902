import { channels, type Image } from "./images.js";

/** A pixel at (x, y) of the result comes from (a x + b y + c, d x + e y + f) of the image, both counted from pixels' corners. */
type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** Pillow's fixed point: 16 bits of fraction. */
const fixed = (x: number): number => Math.floor(x * 65536 + 0.5);

/** The image under an affine map, nearest pixels taken and black outside, as Pillow's `transform` has it to the bit. */
function warp({ height, width, pixels }: Image, [a, b, c, d, e, f]: Affine): Image {
  const result = new Uint8Array(pixels.length);
  const [fa, fb, fd, fe] = [fixed(a), fixed(b), fixed(d), fixed(e)];
  const [fc, ff] = [fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5)];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [column, row] = [(fc + fb * y + fa * x) >> 16, (ff + fe * y + fd * x) >> 16];
      if (column < 0 || column >= width || row < 0 || row >= height) continue;
      const from = channels * (row * width + column);
      result.set(pixels.subarray(from, from + channels), channels * (y * width + x));
    }
  }
  return { height, width, pixels: result };
}

/** Row y and column x of the result are row y + `top` and column x + `left` of the image; black outside of it. */
export function shift({ height, width, pixels }: Image, top: number, left: number): Image {
  const result = new Uint8Array(pixels.length);
  const [first, last] = [Math.max(0, left), Math.min(width, width + left)];
  for (let y = Math.max(0, -top); y < Math.min(height, height - top) && first < last; y++) {
    const from = (y + top) * width;
    const row = pixels.subarray(channels * (from + first), channels * (from + last));
    result.set(row, channels * (y * width + first - left));
  }
  return { height, width, pixels: result };
}

/** Moved right by `x` pixels and down by `y`. */
export const translate = (image: Image, x: number, y: number): Image => shift(image, -y, -x);

/** Rows moved by `x` pixels a row, or columns by `y` a column, from the top left corner on. */
export const shear = (image: Image, x: number, y: number): Image => warp(image, [1, x, 0, y, 1, 0]);

/** Turned about its middle, counter-clockwise, by so many degrees. */
export function rotate(image: Image, degrees: number): Image {
  const radians = -(degrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(radians), Math.sin(radians)];
  const [x, y] = [image.width / 2, image.height / 2];
  return warp(image, [cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y]);
}
