import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = √x, y′ = 1/(2y); infinite at 0, as in PyTorch. */
export const rule: OpRule<"Sqrt"> = pointwise("Sqrt", 13, (b, _, y) => e.div(b, e.scalarLike(b, 0.5, y), y), [
  { inputs: [{ shape: [2, 3], range: [0.5, 2] }] },
  { name: "scalar", inputs: [{ shape: [], range: [0.5, 2] }] },
]);
