import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { like } from "./types.js";

/** y = −x. */
export const rule: OpRule<"Neg"> = {
  op: "Neg",
  since: 13,
  vjp: ({ b }, _, [dy]) => [dy ? e.neg(b, dy) : null],
  jvp: "linear",
  infer: like(),
  samples: [{ inputs: [{ shape: [2, 3] }] }, { name: "scalar", inputs: [{ shape: [] }] }],
};
