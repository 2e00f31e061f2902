import { stepwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = x rounded to the nearest integer, halves to even: derivative 0. */
export const rule: OpRule<"Round"> = stepwise("Round", 11, [{ inputs: [{ shape: [3], values: [0.3, -1.7, 2.2] }] }]);
