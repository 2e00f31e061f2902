import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { like } from "./types.js";

/** `d` where the output is positive, else 0. */
const masked = (b: e.B, y: e.V, d: e.V | null | undefined): e.V | null =>
  d ? e.where(b, e.isPositive(b, y), d, e.scalarLike(b, 0, d)) : null;

/** y = max(x, 0); y′(0) = 0, as in PyTorch. */
export const rule: OpRule<"Relu"> = {
  op: "Relu",
  since: 14,
  vjp: ({ b }, node, [dy]) => [masked(b, node.output(), dy)],
  jvp: ({ b }, node, [dx]) => [masked(b, node.output(), dx)],
  infer: like(),
  samples: [{ inputs: [{ shape: [2, 3], avoid: { points: [0], distance: 0.1 } }] }],
};
