import { int, tensorType, type Node } from "../ir/graph.js";
import { freshDim } from "../util/shape.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** `v`, of the shape of the node's input, as [batch, channels, elements]. */
const flat = (b: e.B, v: e.V): e.V =>
  e.reshapeTo(b, v, b.int64s([0, 0, -1]), tensorType(v.dtype, [...v.dims.slice(0, 2), freshDim()]));

/** Where each channel is largest: the first place of several, [batch, channels, 1]. */
const place = (b: e.B, node: Node): e.V =>
  b.op(
    "ArgMax",
    [flat(b, node.input(0))],
    { axis: int(2) },
    { types: [tensorType("int64", [...node.input(0).dims.slice(0, 2), 1])] },
  );

/** y = the largest element of each channel of each example; the first of several takes the derivative, as in PyTorch. */
export const rule: OpRule<"GlobalMaxPool"> = {
  op: "GlobalMaxPool",
  since: 1,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null];
    const x = node.input(0);
    const at = place(b, node);
    const zeros = e.fullLike(b, 0, flat(b, x), dy.dtype);
    return [e.reshapeLike(b, e.scatterElementsAdd(b, zeros, at, flat(b, dy), 2), x)];
  },
  jvp: ({ b }, node, [dx]) => [
    dx ? e.reshapeLike(b, e.gatherElements(b, flat(b, dx), place(b, node), 2), node.output()) : null,
  ],
  samples: [
    { inputs: [{ shape: [2, 3, 2, 2], distinct: 0.02 }] },
    { name: "one axis", inputs: [{ shape: [2, 2, 4], distinct: 0.02 }] },
  ],
};
