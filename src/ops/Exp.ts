import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = eˣ, y′ = y. */
export const rule: OpRule<"Exp"> = pointwise("Exp", 13, (_, __, y) => y);
