import { stepwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = not x. */
export const rule: OpRule<"Not"> = stepwise("Not", 1, [{ inputs: [{ shape: [2], dtype: "bool", values: [0, 1] }] }]);
