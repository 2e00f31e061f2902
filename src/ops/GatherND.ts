import { int, tensorType, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** The node's indices with those of the batch axes written out before them, as ScatterND wants them. */
function fullIndices(b: e.B, node: Node): e.V {
  const indices = node.input(1);
  const batch = node.int("batch_dims", 0);
  if (batch === 0) return indices;
  const rank = indices.dims.length;
  const column = tensorType("int64", [...indices.dims.slice(0, -1), 1]);
  const like = e.slice(b, indices, b.int64s([0]), b.int64s([1]), [-1], column);
  const grids = Array.from({ length: batch }, (_, axis) => {
    const positions = e.rangeTo(b, e.squeeze(b, e.dimOf(b, indices, axis), [0]));
    const others = Array.from({ length: rank }, (__, i) => i).filter((i) => i !== axis);
    return e.expandLike(b, e.unsqueeze(b, positions, others), like);
  });
  return e.concat(b, [...grids, indices], rank - 1);
}

/** y = slices of x at index tuples (the last axis of the indices). */
export const rule: OpRule<"GatherND"> = {
  op: "GatherND",
  since: 13,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null, null];
    const zeros = e.fullLike(b, 0, node.input(0), dy.dtype);
    return [e.scatterNDAdd(b, zeros, fullIndices(b, node), dy), null];
  },
  jvp: "linear",
  infer: (node) => {
    const x = node.input(0);
    const indices = node.input(1).shape;
    const width = indices?.at(-1);
    if (!x.shape || !indices || typeof width !== "number") return [tensorType(x.dtype, null)];
    return [tensorType(x.dtype, [...indices.slice(0, -1), ...x.shape.slice(node.int("batch_dims", 0) + width)])];
  },
  samples: [
    {
      name: "elements, one repeated",
      inputs: [{ shape: [2, 3] }, { shape: [3, 2], dtype: "int64", values: [0, 1, 1, 2, 0, 1] }],
    },
    { name: "slices", inputs: [{ shape: [3, 2] }, { shape: [2, 1], dtype: "int64", values: [2, 0] }] },
    {
      name: "batched",
      inputs: [{ shape: [2, 3, 2] }, { shape: [2, 1], dtype: "int64", values: [1, 2] }],
      attributes: { batch_dims: int(1) },
    },
    {
      name: "batched, several a batch",
      inputs: [{ shape: [2, 2, 3] }, { shape: [2, 2, 2, 1], dtype: "int64", values: [1, 2, 0, 0, 2, 2, 1, 0] }],
      attributes: { batch_dims: int(2) },
    },
  ],
};
