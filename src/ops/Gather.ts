import { int, tensorType, type Node } from "../ir/graph.js";
import { normalizeAxis } from "../util/shape.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { constantScalar } from "./shapes.js";

const axisOf = (node: Node): number => normalizeAxis(node.int("axis", 0), node.input(0).dims.length);

/** One slice, put back at a constant place among zeros. */
function padSlice(b: e.B, node: Node, dy: e.V, index: number): e.V {
  const x = node.input(0);
  const axis = axisOf(node);
  const slice = e.unsqueeze(b, dy, [axis]);
  const size = x.dims[axis];
  if (typeof size === "number") {
    const before = index < 0 ? index + size : index;
    return e.pad(b, slice, [b.int64s([before])], [b.int64s([size - 1 - before])], [axis], x.type);
  }
  const dim = e.dimOf(b, x, axis);
  if (index < 0) {
    const before = e.add(b, dim, b.int64s([index]));
    return e.pad(b, slice, [before], [b.int64s([-1 - index])], [axis], x.type);
  }
  return e.pad(b, slice, [b.int64s([index])], [e.sub(b, dim, b.int64s([index + 1]))], [axis], x.type);
}

/** Slices added into zeros at their indices; along other axes than the first by transposing. */
function scatter(b: e.B, node: Node, dy: e.V): e.V {
  const x = node.input(0);
  const indices = node.input(1);
  const axis = axisOf(node);
  const rank = x.dims.length;
  // ScatterND takes no int32.
  const places = e.unsqueeze(b, e.cast(b, indices, "int64"), [-1]);
  if (axis === 0) return e.scatterNDAdd(b, e.fullLike(b, 0, x, dy.dtype), places, dy);
  const rest = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis);
  const perm = [axis, ...rest];
  const shape = perm.map((p) => x.dims[p] ?? 1);
  const extents = perm.map((p) => e.dimOf(b, x, p));
  const zeros = e.expand(b, e.scalarLike(b, 0, dy), e.concat(b, extents, 0), tensorType(dy.dtype, shape));
  const width = indices.dims.length;
  const ranks = dy.dims.map((_, i) => i);
  const first = ranks.slice(axis, axis + width);
  const updates = e.transpose(b, dy, [...first, ...ranks.filter((i) => !first.includes(i))]);
  const sum = e.scatterNDAdd(b, zeros, places, updates);
  return e.transpose(
    b,
    sum,
    perm.map((_, i) => perm.indexOf(i)),
  );
}

/** y = slices of x along an axis, at integer indices. */
export const rule: OpRule<"Gather"> = {
  op: "Gather",
  since: 13,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null, null];
    const index = node.input(1).shape?.length === 0 ? constantScalar(b, node.input(1)) : undefined;
    return [index === undefined ? scatter(b, node, dy) : padSlice(b, node, dy, index), null];
  },
  jvp: "linear",
  infer: (node) => {
    const x = node.input(0);
    const indices = node.input(1).shape;
    if (!x.shape || !indices) return [tensorType(x.dtype, null)];
    const axis = axisOf(node);
    return [tensorType(x.dtype, [...x.shape.slice(0, axis), ...indices, ...x.shape.slice(axis + 1)])];
  },
  samples: [
    {
      name: "rows, some repeated",
      inputs: [{ shape: [4, 3] }, { shape: [2, 3], dtype: "int64", values: [0, 3, 0, 1, -1, 3] }],
    },
    {
      name: "last axis",
      inputs: [{ shape: [2, 4] }, { shape: [3], dtype: "int64", values: [1, 1, -4] }],
      attributes: { axis: int(-1) },
    },
    {
      name: "middle axis, matrix of indices",
      inputs: [{ shape: [2, 3, 2] }, { shape: [2, 2], dtype: "int64", values: [0, 2, 2, 1] }],
      attributes: { axis: int(1) },
    },
    {
      name: "one constant index",
      inputs: [{ shape: [2, 3, 2] }, { shape: [], dtype: "int64", values: [0], constant: true }],
      attributes: { axis: int(1) },
    },
    {
      name: "one negative constant index",
      inputs: [{ shape: [2, 3] }, { shape: [], dtype: "int64", values: [-1], constant: true }],
      attributes: { axis: int(1) },
    },
    {
      name: "one run-time index",
      inputs: [{ shape: [2, 3] }, { shape: [], dtype: "int64", values: [1] }],
      attributes: { axis: int(1) },
    },
    { name: "int32 indices", inputs: [{ shape: [3, 2] }, { shape: [2], dtype: "int32", values: [2, -1] }] },
    { name: "a vector", inputs: [{ shape: [4] }, { shape: [], dtype: "int64", values: [2] }] },
  ],
};
