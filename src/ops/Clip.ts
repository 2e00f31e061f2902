import type { Node } from "../ir/graph.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { constantScalar } from "./shapes.js";
import { like } from "./types.js";

/** The node's bounds, from below and from above; one that it does not have is left out. */
const boundsOf = (node: Node): readonly [e.V | null, e.V | null] => [node.inputs[1] ?? null, node.inputs[2] ?? null];

const areConstant = (b: e.B, node: Node): boolean =>
  boundsOf(node).every((bound) => !bound || constantScalar(b, bound) !== undefined);

/** `d` where x lies between constant bounds, and 0 at them. */
function inside(b: e.B, node: Node, d: e.V): e.V {
  const x = node.input(0);
  const [low, high] = boundsOf(node);
  const [below, above] = [low && e.lessOrEqual(b, x, low), high && e.greaterOrEqual(b, x, high)];
  const outside = below && above ? e.or(b, below, above) : (below ?? above);
  return outside ? e.where(b, outside, e.scalarLike(b, 0, d), d) : d;
}

/** In terms of Max and Min, which tell what of y comes from x and what from a bound. */
const computed = composite({
  op: "Clip",
  since: 13,
  decompose: (b, node) => {
    const [low, high] = boundsOf(node);
    const raised = low ? e.max(b, node.input(0), low) : node.input(0);
    return [high ? e.min(b, raised, high) : raised];
  },
  samples: [],
});

/**
 * y = min(max(x, low), high). At constant bounds the derivative is 0, as it is of PyTorch's clamp, relu6 and hardtanh; bounds
 * that are computed share it with x, as tensors do in clamp.
 */
export const rule: OpRule<"Clip"> = {
  op: "Clip",
  since: 13,
  vjp: (c, node, cotangents, need) => {
    const [dy] = cotangents;
    if (!dy) return [null, null, null];
    if (areConstant(c.b, node)) return [inside(c.b, node, dy), null, null];
    return computed.vjp(c, node, cotangents, need);
  },
  jvp: (c, node, tangents) => {
    const [dx] = tangents;
    if (areConstant(c.b, node)) return [dx ? inside(c.b, node, dx) : null];
    return computed.jvp(c, node, tangents);
  },
  infer: like(),
  samples: [
    {
      inputs: [
        { shape: [2, 3], range: [-2, 2], avoid: { points: [-1, 1], distance: 0.2 } },
        { shape: [], values: [-1] },
        { shape: [], values: [1] },
      ],
    },
    {
      name: "bounds that cross",
      inputs: [
        { shape: [2, 3], range: [-2, 2] },
        { shape: [], values: [1] },
        { shape: [], values: [-1] },
      ],
    },
    {
      name: "constant bounds",
      inputs: [
        { shape: [2, 3], range: [-2, 2], avoid: { points: [-1, 1], distance: 0.2 } },
        { shape: [], values: [-1], constant: true },
        { shape: [], values: [1], constant: true },
      ],
    },
    {
      name: "constant lower bound",
      inputs: [
        { shape: [2, 3], avoid: { points: [0], distance: 0.1 } },
        { shape: [], values: [0], constant: true },
      ],
    },
    {
      name: "upper bound alone",
      inputs: [{ shape: [2, 3], avoid: { points: [0.5], distance: 0.1 } }, null, { shape: [], values: [0.5] }],
    },
    { name: "no bounds", inputs: [{ shape: [2, 3] }] },
  ],
};
