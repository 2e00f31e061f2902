import { logical } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = a or b. */
export const rule: OpRule<"Or"> = logical("Or", 7);
