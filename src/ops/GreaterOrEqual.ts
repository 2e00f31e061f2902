import { comparison } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = (a ≥ b). */
export const rule: OpRule<"GreaterOrEqual"> = comparison("GreaterOrEqual", 16);
