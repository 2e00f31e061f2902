import { int } from "../ir/graph.js";
import type { OpRule } from "./rule.js";

/** The first steps of every sequence in reverse order: its own inverse, and its own adjoint. */
export const rule: OpRule<"ReverseSequence"> = {
  op: "ReverseSequence",
  since: 10,
  vjp: ({ b }, node, [dy]) => [
    dy ? b.op("ReverseSequence", [dy, node.input(1)], node.attributes, { types: [dy.type] }) : null,
    null,
  ],
  jvp: "linear",
  samples: [
    { inputs: [{ shape: [4, 2] }, { shape: [2], dtype: "int64", values: [3, 4] }] },
    {
      name: "batch first",
      inputs: [{ shape: [2, 3, 2] }, { shape: [2], dtype: "int64", values: [2, 1] }],
      attributes: { batch_axis: int(0), time_axis: int(1) },
    },
  ],
};
