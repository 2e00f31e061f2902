import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { slopeReduction } from "./slopeReduction.js";

/** y = Σ x² over axes; ∂y/∂x = 2x. */
export const rule: OpRule<"ReduceSumSquare"> = slopeReduction("ReduceSumSquare", 18, (b, x) => e.scale(b, x, 2));
