import { int, tensorType, type Node } from "../ir/graph.js";
import { isFloat } from "../util/dtype.js";
import { normalizeAxis } from "../util/shape.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { sumDims } from "./types.js";

const axisOf = (node: Node): number => normalizeAxis(node.int("axis", 0), node.input(0).dims.length);

/** y = the inputs one after the other along an axis. */
export const rule: OpRule<"Concat"> = {
  op: "Concat",
  since: 13,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return node.inputs.map(() => null);
    const axis = axisOf(node);
    let offset = 0;
    let start: e.V = b.int64s([0]);
    return node.inputs.map((x, i) => {
      if (!x) return null;
      const size = x.dims[axis];
      let end: e.V;
      if (typeof size === "number" && offset >= 0) {
        offset += size;
        end = b.int64s([offset]);
      } else {
        offset = -1;
        end = e.add(b, start, e.dimOf(b, x, axis));
      }
      const part = need[i] ? e.slice(b, dy, start, end, [axis], tensorType(dy.dtype, x.shape)) : null;
      start = end;
      return part;
    });
  },
  jvp: ({ b }, node, tangents) => {
    if (!isFloat(node.output().dtype)) return [null];
    const parts = node.inputs.map((_, i) => tangents[i] ?? e.fullLike(b, 0, node.input(i)));
    return [b.op("Concat", parts, { axis: int(axisOf(node)) }, { types: [node.output().type] })];
  },
  infer: (node) => {
    const shapes = node.inputs.map((x) => x?.shape ?? null);
    const first = shapes[0];
    const { dtype } = node.input(0);
    if (!first || shapes.includes(null)) return [tensorType(dtype, null)];
    const axis = axisOf(node);
    const dims = first.map((d, i) =>
      i === axis ? sumDims(shapes.map((s) => s?.[i] ?? 0)) : (shapes.find((s) => typeof s?.[i] === "number")?.[i] ?? d),
    );
    return [tensorType(dtype, dims)];
  },
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [2, 1] }, { shape: [2, 2] }], attributes: { axis: int(-1) } },
    { name: "first axis", inputs: [{ shape: [1, 3] }, { shape: [2, 3] }], attributes: { axis: int(0) } },
    { name: "one input", inputs: [{ shape: [2, 3] }], attributes: { axis: int(1) } },
  ],
};
