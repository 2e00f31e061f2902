import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { broadcasting } from "./types.js";

/** y = Σ of the inputs, broadcasting. */
export const rule: OpRule<"Sum"> = {
  op: "Sum",
  since: 13,
  vjp: (_, node, [dy]) => node.inputs.map(() => dy ?? null),
  jvp: ({ b }, node, tangents) => {
    const there = tangents.filter((d) => d !== null);
    return [
      there.length > 0
        ? e.expandLike(
            b,
            there.reduce((p, q) => e.add(b, p, q)),
            node.output(),
          )
        : null,
    ];
  },
  infer: broadcasting(),
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [3] }, { shape: [] }] },
    { name: "one input", inputs: [{ shape: [2, 3] }] },
  ],
};
