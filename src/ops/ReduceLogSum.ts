import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { slopeReduction } from "./slopeReduction.js";

/** y = ln Σ x over axes; ∂y/∂x = e⁻ʸ. */
export const rule: OpRule<"ReduceLogSum"> = slopeReduction(
  "ReduceLogSum",
  18,
  (b, x, y) => e.expandLike(b, e.exp(b, e.neg(b, y)), x),
  { range: [0.5, 2] },
);
