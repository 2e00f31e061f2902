import * as e from "./emit.js";
import { broadcastTo } from "./linear.js";
import type { OpRule } from "./rule.js";
import { broadcasting } from "./types.js";

/** y = a − b, broadcasting. */
export const rule: OpRule<"Sub"> = {
  op: "Sub",
  since: 14,
  vjp: ({ b }, _, [dy], need) => [dy ?? null, dy && need[1] ? e.neg(b, dy) : null],
  jvp: ({ b }, node, [da, db]) => {
    if (da && db) return [e.sub(b, da, db)];
    const one = da ?? (db ? e.neg(b, db) : null);
    return [one ? broadcastTo(b, one, node.output()) : null];
  },
  infer: broadcasting(),
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [2, 3] }] },
    { name: "broadcast", inputs: [{ shape: [2, 1, 3] }, { shape: [4, 1] }] },
    { name: "scalar", inputs: [{ shape: [] }, { shape: [3] }] },
  ],
};
