import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { broadcasting } from "./types.js";

/** y = a · b elementwise, broadcasting; a square is one product, in both modes. */
export const rule: OpRule<"Mul"> = {
  op: "Mul",
  since: 14,
  vjp: ({ b }, node, [dy], need) => {
    const [x, y] = [node.input(0), node.input(1)];
    if (dy && x === y) return [e.scale(b, e.mul(b, dy, x), 2), null];
    return [dy && need[0] ? e.mul(b, dy, y) : null, dy && need[1] ? e.mul(b, dy, x) : null];
  },
  jvp: ({ b }, node, [dx, dy]) => {
    const [x, y] = [node.input(0), node.input(1)];
    if (dx && x === y) return [e.scale(b, e.mul(b, dx, x), 2)];
    const [first, second] = [dx ? e.mul(b, dx, y) : null, dy ? e.mul(b, x, dy) : null];
    return [first && second ? e.add(b, first, second) : (first ?? second)];
  },
  infer: broadcasting(),
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [2, 3] }] },
    { name: "broadcast", inputs: [{ shape: [2, 1, 3] }, { shape: [4, 1] }] },
    { name: "scalar", inputs: [{ shape: [] }, { shape: [3] }] },
  ],
};
