import { sizeOf } from "../../src/util/shape.js";
import { array, type Array64 } from "../reference/array.js";

/** f of the place of each element, in float32. */
export const wave = (dims: readonly number[], f: (i: number) => number): Array64 =>
  array(
    "float32",
    dims,
    Array.from({ length: sizeOf(dims) }, (_, i) => f(i)),
  );

/** The batch of step t for `twoLayers`, and its labels. */
export const waves = (t: number, rows = 4): { x: Array64; labels: Array64 } => ({
  x: wave([rows, 3], (i) => Math.sin(1.3 * i + t)),
  labels: wave([rows, 2], (i) => Math.cos(0.7 * i - t)),
});
