import { addTangents } from "./linear.js";
import type { OpRule } from "./rule.js";
import { broadcasting } from "./types.js";

/** y = a + b, broadcasting. */
export const rule: OpRule<"Add"> = {
  op: "Add",
  since: 14,
  vjp: (_, __, [dy]) => [dy ?? null, dy ?? null],
  jvp: ({ b }, node, [da, db]) => [addTangents(b, node, da ?? null, db ?? null)],
  infer: broadcasting(),
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [2, 3] }] },
    { name: "broadcast", inputs: [{ shape: [2, 1, 3] }, { shape: [4, 1] }] },
    { name: "scalar", inputs: [{ shape: [] }, { shape: [3] }] },
  ],
};
