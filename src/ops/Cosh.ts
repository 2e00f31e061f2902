import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = cosh x, y′ = sinh x. */
export const rule: OpRule<"Cosh"> = pointwise("Cosh", 9, (b, x) => b.op("Sinh", [x]));
