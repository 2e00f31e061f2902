import { tensorType } from "../ir/graph.js";
import type { DType } from "../util/dtype.js";
import { broadcast, freshDim, type Dim } from "../util/shape.js";
import type { InferRule } from "./rule.js";

/** Output like input `i`, optionally of another dtype. */
export const like =
  (i = 0, dtype?: DType): InferRule =>
  (node) => {
    const x = node.input(i);
    return [dtype ? tensorType(dtype, x.shape) : x.type];
  };

/** Output of the broadcast shape of all inputs, with the dtype of the input `from` or the one given. */
export const broadcasting =
  (dtype?: DType, from = 0): InferRule =>
  (node) => {
    const shape = broadcast(...node.inputs.map((v) => (v ? v.shape : [])));
    return [tensorType(dtype ?? node.input(from).dtype, shape)];
  };

/** The dimension of a sum of dimensions, as in Concat. */
export function sumDims(dims: readonly Dim[]): Dim {
  let total = 0;
  for (const d of dims) {
    if (typeof d !== "number") return dims.length === 1 ? d : freshDim();
    total += d;
  }
  return total;
}
