import type { OpRule } from "./rule.js";
import { like } from "./types.js";

/** y = ones on a diagonal, in the shape of x. */
export const rule: OpRule<"EyeLike"> = {
  op: "EyeLike",
  since: 9,
  vjp: "zero",
  jvp: "zero",
  infer: like(),
  samples: [{ inputs: [{ shape: [2, 3] }] }],
};
