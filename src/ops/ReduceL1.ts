import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { slopeReduction } from "./slopeReduction.js";

/** y = Σ |x| over axes; ∂y/∂x = sign x, 0 at 0, as in PyTorch. */
export const rule: OpRule<"ReduceL1"> = slopeReduction("ReduceL1", 18, (b, x) => e.sign(b, x), {
  avoid: { points: [0], distance: 0.1 },
});
