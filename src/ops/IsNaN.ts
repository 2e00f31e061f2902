import type { OpRule } from "./rule.js";
import { like } from "./types.js";

/** y = whether x is not a number. */
export const rule: OpRule<"IsNaN"> = {
  op: "IsNaN",
  since: 20,
  vjp: "zero",
  jvp: "zero",
  infer: like(0, "bool"),
  samples: [{ inputs: [{ shape: [2, 3] }] }],
};
