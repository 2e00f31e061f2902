import { int, tensorType } from "../ir/graph.js";
import { freshDim, isStatic, normalizeAxis, sizeOf, type Shape } from "../util/shape.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

const product = (dims: Shape): string | number => (isStatic(dims) ? sizeOf(dims) : freshDim());

/** y = x as a matrix: the axes before `axis` are its rows, the others its columns. */
export const rule: OpRule<"Flatten"> = {
  op: "Flatten",
  since: 21,
  vjp: ({ b }, node, [dy]) => [dy ? e.reshapeLike(b, dy, node.input(0)) : null],
  jvp: "linear",
  infer: (node) => {
    const x = node.input(0);
    const axis = normalizeAxis(node.int("axis", 1), x.dims.length);
    return [tensorType(x.dtype, [product(x.dims.slice(0, axis)), product(x.dims.slice(axis))])];
  },
  samples: [
    { inputs: [{ shape: [2, 3, 2] }] },
    { name: "axis 0", inputs: [{ shape: [2, 3] }], attributes: { axis: int(0) } },
    { name: "negative axis", inputs: [{ shape: [2, 3, 2] }], attributes: { axis: int(-1) } },
  ],
};
