import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { slopeReduction } from "./slopeReduction.js";

/** y = √Σ x² over axes; ∂y/∂x = x/y, and 0 where y = 0, as in PyTorch. */
export const rule: OpRule<"ReduceL2"> = slopeReduction(
  "ReduceL2",
  18,
  (b, x, y) => {
    const vanishes = e.equal(b, y, e.scalarLike(b, 0, y));
    return e.div(b, x, e.where(b, vanishes, e.scalarLike(b, 1, y), y));
  },
  { range: [0.3, 1.5] },
);
