import type { OpRule } from "./rule.js";
import { like } from "./types.js";

/** y = whether x is infinite. */
export const rule: OpRule<"IsInf"> = {
  op: "IsInf",
  since: 20,
  vjp: "zero",
  jvp: "zero",
  infer: like(0, "bool"),
  samples: [{ inputs: [{ shape: [2, 3] }] }],
};
