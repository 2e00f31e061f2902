import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { broadcasting } from "./types.js";

/** y = a · b elementwise, broadcasting. */
export const rule: OpRule<"Mul"> = {
  op: "Mul",
  since: 14,
  vjp: ({ b }, node, [dy], need) => [
    dy && need[0] ? e.mul(b, dy, node.input(1)) : null,
    dy && need[1] ? e.mul(b, dy, node.input(0)) : null,
  ],
  jvp: "linear",
  infer: broadcasting(),
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [2, 3] }] },
    { name: "broadcast", inputs: [{ shape: [2, 1, 3] }, { shape: [4, 1] }] },
    { name: "scalar", inputs: [{ shape: [] }, { shape: [3] }] },
  ],
};
