import { int } from "../ir/graph.js";
import type { OpRule } from "./rule.js";
import { like } from "./types.js";

const axis = (value: number) => ({ shape: [], dtype: "int64", values: [value], constant: true }) as const;

/** y = running sums of x along an axis; its adjoint runs the other way. */
export const rule: OpRule<"CumSum"> = {
  op: "CumSum",
  since: 14,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null, null];
    const attributes = { ...node.attributes, reverse: int(node.int("reverse", 0) ? 0 : 1) };
    return [b.op("CumSum", [dy, node.input(1)], attributes, { types: [dy.type] }), null];
  },
  jvp: "linear",
  infer: like(),
  samples: [
    { inputs: [{ shape: [2, 3] }, axis(1)] },
    { name: "exclusive", inputs: [{ shape: [2, 3] }, axis(-1)], attributes: { exclusive: int(1) } },
    { name: "reverse", inputs: [{ shape: [3, 2] }, axis(0)], attributes: { reverse: int(1) } },
    {
      name: "exclusive, reverse",
      inputs: [{ shape: [2, 3] }, axis(1)],
      attributes: { exclusive: int(1), reverse: int(1) },
    },
  ],
};
