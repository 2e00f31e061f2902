import { int } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { broadcasting } from "./types.js";

/** y = a − b·trunc(a/b) (floating-point inputs have fmod = 1): ∂y/∂a = 1, ∂y/∂b = −(a − y)/b, as in PyTorch's fmod. */
export const rule: OpRule<"Mod"> = {
  op: "Mod",
  since: 13,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null];
    return [dy, need[1] ? e.neg(b, e.mul(b, dy, quotient(b, node.input(0), node.input(1), node.output()))) : null];
  },
  jvp: ({ b }, node, [da, db]) => {
    const y = node.output();
    if (!db) return [da ? e.expandLike(b, da, y) : null];
    const change = e.mul(b, db, quotient(b, node.input(0), node.input(1), y));
    return [da ? e.sub(b, da, change) : e.neg(b, change)];
  },
  infer: broadcasting(),
  samples: [
    {
      inputs: [
        { shape: [3], values: [5.3, -4.1, 0.4] },
        { shape: [3], values: [2, 1.5, 0.7] },
      ],
      attributes: { fmod: int(1) },
    },
  ],
};

const quotient = (b: e.B, a: e.V, divisor: e.V, y: e.V): e.V => e.div(b, e.sub(b, a, y), divisor);
