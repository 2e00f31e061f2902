import { int } from "../ir/graph.js";
import { composite } from "./composite.js";
import { spatial } from "./convolution.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** y = (Σ |x|ᵖ)^(1/p) over the spatial axes. */
export const rule: OpRule<"GlobalLpPool"> = composite({
  op: "GlobalLpPool",
  since: 2,
  decompose: (b, node) => {
    const x = node.input(0);
    const p = node.int("p", 2);
    const axes = spatial(x).map((_, i) => i + 2);
    if (p === 1) return [b.op("ReduceL1", [x, b.int64s(axes)])];
    if (p === 2) return [b.op("ReduceL2", [x, b.int64s(axes)])];
    const sum = e.reduceSum(b, e.pow(b, e.abs(b, x), e.scalarLike(b, p, x)), axes);
    return [e.pow(b, sum, e.scalarLike(b, 1 / p, x))];
  },
  samples: [1, 2, 3].map((p) => ({
    name: `p = ${p}`,
    inputs: [{ shape: [2, 2, 2, 3], avoid: { points: [0], distance: 0.05 } }],
    attributes: { p: int(p) },
  })),
});
