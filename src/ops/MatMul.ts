import { tensorType } from "../ir/graph.js";
import { broadcast, type Dim } from "../util/shape.js";
import * as e from "./emit.js";
import type { InferRule, OpRule } from "./rule.js";

const infer: InferRule = (node) => {
  const a = node.input(0);
  const b = node.input(1);
  if (!a.shape || !b.shape) return [tensorType(a.dtype, null)];
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2)) ?? [];
  const rows: Dim[] = a.shape.length > 1 ? [a.shape.at(-2) ?? 1] : [];
  const columns: Dim[] = b.shape.length > 1 ? [b.shape.at(-1) ?? 1] : [];
  return [tensorType(a.dtype, [...batch, ...rows, ...columns])];
};

/** Y = A B over the last two axes, batch axes broadcasting; a vector stands for a row on the left, a column on the right. */
export const rule: OpRule<"MatMul"> = {
  op: "MatMul",
  since: 13,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null];
    let x = node.input(0);
    let w = node.input(1);
    let g = dy;
    const vectorX = x.dims.length === 1;
    const vectorW = w.dims.length === 1;
    if (vectorW) {
      w = e.unsqueeze(b, w, [1]);
      g = e.unsqueeze(b, g, [-1]);
    }
    if (vectorX) {
      x = e.unsqueeze(b, x, [0]);
      g = e.unsqueeze(b, g, [-2]);
    }
    let dx = need[0] ? e.matmul(b, g, e.transposeLast(b, w)) : null;
    let dw = need[1] ? weightGradient(b, x, w, g) : null;
    if (dx && vectorX) dx = e.squeeze(b, dx, [-2]);
    if (dw && vectorW) dw = e.squeeze(b, dw, [-1]);
    return [dx, dw];
  },
  jvp: "linear",
  infer,
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [3, 4] }] },
    { name: "batched", inputs: [{ shape: [2, 2, 3] }, { shape: [2, 3, 4] }] },
    { name: "batch broadcast", inputs: [{ shape: [2, 1, 2, 3] }, { shape: [5, 3, 4] }] },
    { name: "matrix on a batch", inputs: [{ shape: [2, 5, 3] }, { shape: [3, 4] }] },
    { name: "vectors", inputs: [{ shape: [3] }, { shape: [3] }] },
    { name: "matrix vector", inputs: [{ shape: [2, 4, 3] }, { shape: [3] }] },
    { name: "vector matrix", inputs: [{ shape: [3] }, { shape: [2, 3, 4] }] },
  ],
};

/** XᵀG; for one matrix on a batch of X the batch joins the rows, so that it is one product and nothing is summed after. */
function weightGradient(b: e.B, x: e.V, w: e.V, g: e.V): e.V {
  if (w.dims.length === 2 && x.dims.length > 2 && x.dims.length === g.dims.length) {
    const rows = e.reshape(b, x, [-1, w.dims[0] ?? -1]);
    const gradients = e.reshape(b, g, [-1, w.dims[1] ?? -1]);
    return e.matmul(b, e.transposeLast(b, rows), gradients);
  }
  return e.matmul(b, e.transposeLast(b, x), g);
}
