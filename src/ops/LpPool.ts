import { int, ints, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import { windowSpread, windowSum } from "./pooling.js";
import type { OpRule } from "./rule.js";

/** ∂yᵖ/∂x/p = |x|ᵖ⁻¹ sign x, and y¹⁻ᵖ (0 where y is 0). */
function factors(b: e.B, node: Node): { slope: e.V; outer: e.V } {
  const p = node.int("p", 2);
  const x = node.input(0);
  const y = node.output();
  if (p === 1) return { slope: e.sign(b, x), outer: e.scalarLike(b, 1, x) };
  const slope = p === 2 ? x : e.mul(b, e.pow(b, e.abs(b, x), e.scalarLike(b, p - 1, x)), e.sign(b, x));
  const zero = e.scalarLike(b, 0, y);
  const vanishes = e.equal(b, y, zero);
  const safe = e.where(b, vanishes, e.scalarLike(b, 1, y), y);
  return { slope, outer: e.where(b, vanishes, zero, e.pow(b, safe, e.scalarLike(b, 1 - p, y))) };
}

/** y = (Σ |x|ᵖ)^(1/p) over each window. */
export const rule: OpRule<"LpPool"> = {
  op: "LpPool",
  since: 18,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null];
    const { slope, outer } = factors(b, node);
    return [e.mul(b, slope, windowSpread(b, node, e.mul(b, dy, outer), node.input(0)))];
  },
  jvp: ({ b }, node, [dx]) => {
    if (!dx) return [null];
    const { slope, outer } = factors(b, node);
    return [e.mul(b, outer, windowSum(b, node, e.mul(b, slope, dx)))];
  },
  samples: [
    { inputs: [{ shape: [2, 2, 4, 4] }], attributes: { kernel_shape: ints([2, 2]), strides: ints([2, 2]) } },
    {
      name: "cubes, padded",
      inputs: [{ shape: [1, 2, 4, 3], avoid: { points: [0], distance: 0.1 } }],
      attributes: { kernel_shape: ints([3, 2]), pads: ints([1, 0, 1, 1]), p: int(3) },
    },
    {
      name: "ceil mode, absolute values",
      inputs: [{ shape: [1, 1, 6], avoid: { points: [0], distance: 0.1 } }],
      attributes: { kernel_shape: ints([3]), strides: ints([2]), ceil_mode: int(1), p: int(1) },
    },
  ],
};
