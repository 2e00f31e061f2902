import type { Feeds } from "../../src/runtime/batch.js";

/** Rows `from` to `to` of the batch of step t for `twoLayers`; `poison` goes into a label. */
export function batchRows(t: number, from = 0, to = 8, poison?: number): Feeds {
  const rows = to - from;
  const floats = (size: number, f: (i: number) => number) =>
    Float32Array.from({ length: rows * size }, (_, i) => f(i + from * size));
  const labels = floats(2, (i) => Math.cos(0.7 * i - t));
  if (poison !== undefined) labels[1] = poison;
  return {
    feeds: {
      x: { dtype: "float32", dims: [rows, 3], data: floats(3, (i) => Math.sin(1.3 * i + t)) },
      labels: { dtype: "float32", dims: [rows, 2], data: labels },
    },
  };
}
