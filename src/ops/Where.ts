import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { broadcasting } from "./types.js";

/** y = c ? a : b elementwise, broadcasting. */
export const rule: OpRule<"Where"> = {
  op: "Where",
  since: 16,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null, null];
    const zero = e.scalarLike(b, 0, dy);
    const condition = node.input(0);
    return [null, need[1] ? e.where(b, condition, dy, zero) : null, need[2] ? e.where(b, condition, zero, dy) : null];
  },
  jvp: ({ b }, node, [, da, db]) => {
    const one = da ?? db;
    if (!one) return [null];
    const zero = e.scalarLike(b, 0, one);
    return [e.expandLike(b, e.where(b, node.input(0), da ?? zero, db ?? zero), node.output())];
  },
  infer: broadcasting(undefined, 1),
  samples: [
    {
      inputs: [{ shape: [2, 2], dtype: "bool", values: [0, 1, 1, 0] }, { shape: [2, 2] }, { shape: [2, 2] }],
    },
    {
      name: "broadcast",
      inputs: [{ shape: [2, 1], dtype: "bool", values: [0, 1] }, { shape: [3] }, { shape: [2, 2, 3] }],
    },
    { name: "scalars", inputs: [{ shape: [3], dtype: "bool", values: [0, 1, 1] }, { shape: [] }, { shape: [] }] },
  ],
};
