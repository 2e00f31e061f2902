import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = x·s with s = σ(αx); y′ = s(1 + αx(1 − s)). */
export const rule: OpRule<"Swish"> = pointwise(
  "Swish",
  24,
  (b, x, _, node) => {
    const scaled = e.scale(b, x, node.float("alpha", 1));
    const s = e.sigmoid(b, scaled);
    return e.mul(b, s, e.shift(b, e.mul(b, scaled, e.sub(b, e.scalarLike(b, 1, x), s)), 1));
  },
  [{ inputs: [{ shape: [2, 3] }] }, { inputs: [{ shape: [2, 3] }], attributes: { alpha: e.float(1.5) } }],
);
