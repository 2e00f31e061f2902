import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { broadcasting } from "./types.js";

/** y = mean of the inputs, broadcasting. */
export const rule: OpRule<"Mean"> = {
  op: "Mean",
  since: 13,
  vjp: ({ b }, node, [dy]) => {
    const each = dy ? e.scale(b, dy, 1 / node.inputs.length) : null;
    return node.inputs.map(() => each);
  },
  jvp: ({ b }, node, tangents) => {
    const there = tangents.filter((d) => d !== null);
    if (there.length === 0) return [null];
    const sum = there.reduce((p, q) => e.add(b, p, q));
    return [e.expandLike(b, e.scale(b, sum, 1 / node.inputs.length), node.output())];
  },
  infer: broadcasting(),
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [3] }, { shape: [] }] },
    { name: "one input", inputs: [{ shape: [2, 3] }] },
  ],
};
