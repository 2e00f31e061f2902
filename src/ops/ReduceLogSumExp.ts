import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { slopeReduction } from "./slopeReduction.js";

/** y = ln Σ eˣ over axes; ∂y/∂x = exp(x − y). */
export const rule: OpRule<"ReduceLogSumExp"> = slopeReduction("ReduceLogSumExp", 18, (b, x, y) =>
  e.exp(b, e.sub(b, x, y)),
);
