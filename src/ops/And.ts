import { logical } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = a and b. */
export const rule: OpRule<"And"> = logical("And", 7);
