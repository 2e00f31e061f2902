import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { like } from "./types.js";

/** y = ln x, y′ = 1/x. */
export const rule: OpRule<"Log"> = {
  op: "Log",
  since: 13,
  vjp: ({ b }, node, [dy]) => [dy ? e.div(b, dy, node.input(0)) : null],
  jvp: ({ b }, node, [dx]) => [dx ? e.div(b, dx, node.input(0)) : null],
  infer: like(),
  samples: [{ inputs: [{ shape: [2, 3], range: [0.5, 2] }] }, { inputs: [{ shape: [], range: [0.5, 2] }] }],
};
