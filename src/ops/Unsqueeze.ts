import { tensorType } from "../ir/graph.js";
import { normalizeAxis } from "../util/shape.js";
import type { OpRule } from "./rule.js";
import { constantNumbers } from "./shapes.js";

const axes = (values: readonly number[]) =>
  ({ shape: [values.length], dtype: "int64", values, constant: true }) as const;

/** y = x with axes of 1 put in. */
export const rule: OpRule<"Unsqueeze"> = {
  op: "Unsqueeze",
  since: 21,
  vjp: ({ b }, node, [dy]) => [
    dy ? b.op("Squeeze", [dy, node.input(1)], {}, { types: [node.input(0).type] }) : null,
    null,
  ],
  jvp: "linear",
  infer: (node, constants) => {
    const x = node.input(0);
    const given = constantNumbers(constants, node.input(1));
    if (!given || !x.shape) return [tensorType(x.dtype, null)];
    const rank = x.shape.length + given.length;
    const dims = [...x.shape];
    for (const a of given.map((i) => normalizeAxis(i, rank)).sort((p, q) => p - q)) dims.splice(a, 0, 1);
    return [tensorType(x.dtype, dims)];
  },
  samples: [
    { inputs: [{ shape: [2, 3] }, axes([1])] },
    { name: "several", inputs: [{ shape: [2, 3] }, axes([-1, 0])] },
    { name: "scalar", inputs: [{ shape: [] }, axes([0])] },
  ],
};
