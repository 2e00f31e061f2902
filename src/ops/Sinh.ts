import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = sinh x, y′ = cosh x. */
export const rule: OpRule<"Sinh"> = pointwise("Sinh", 9, (b, x) => b.op("Cosh", [x]));
