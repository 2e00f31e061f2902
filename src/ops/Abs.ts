import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = |x|, y′ = sign x; 0 at 0, as in PyTorch. */
export const rule: OpRule<"Abs"> = pointwise("Abs", 13, (b, x) => e.sign(b, x), [
  { inputs: [{ shape: [2, 3], avoid: { points: [0], distance: 0.1 } }] },
]);
