import { logical } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = a xor b. */
export const rule: OpRule<"Xor"> = logical("Xor", 7);
