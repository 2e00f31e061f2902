import { tensorType } from "../ir/graph.js";
import type { OpRule } from "./rule.js";

/** y = number of elements of x. */
export const rule: OpRule<"Size"> = {
  op: "Size",
  since: 13,
  vjp: "zero",
  jvp: "zero",
  infer: () => [tensorType("int64", [])],
  samples: [{ inputs: [{ shape: [2, 3] }] }],
};
