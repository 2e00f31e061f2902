import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { broadcasting } from "./types.js";

/** y = a / b elementwise, broadcasting: ∂y/∂a = 1/b, ∂y/∂b = −y/b. */
export const rule: OpRule<"Div"> = {
  op: "Div",
  since: 14,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null];
    const da = e.div(b, dy, node.input(1));
    return [need[0] ? da : null, need[1] ? e.neg(b, e.mul(b, da, node.output())) : null];
  },
  jvp: ({ b }, node, [da, db]) => {
    const divisor = node.input(1);
    const shift = db ? e.mul(b, node.output(), db) : null;
    if (da) return [e.div(b, shift ? e.sub(b, da, shift) : da, divisor)];
    return [shift ? e.neg(b, e.div(b, shift, divisor)) : null];
  },
  infer: broadcasting(),
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [2, 3], range: [0.5, 2] }] },
    { name: "broadcast", inputs: [{ shape: [2, 1, 3] }, { shape: [4, 1], range: [-2, -0.5] }] },
    { name: "scalar divisor", inputs: [{ shape: [3] }, { shape: [], range: [0.5, 2] }] },
    { name: "scalar dividend", inputs: [{ shape: [] }, { shape: [3], range: [0.5, 2] }] },
  ],
};
