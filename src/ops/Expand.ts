import { tensorType } from "../ir/graph.js";
import { broadcast } from "../util/shape.js";
import type { OpRule } from "./rule.js";
import { shapeOrFresh } from "./shapes.js";

const target = (values: readonly number[]) => ({ shape: [values.length], dtype: "int64", values }) as const;

/** y = x broadcast against a shape. */
export const rule: OpRule<"Expand"> = {
  op: "Expand",
  since: 13,
  vjp: (_, __, [dy]) => [dy ?? null, null],
  jvp: "linear",
  infer: (node, constants) => {
    const x = node.input(0);
    return [tensorType(x.dtype, broadcast(x.shape, shapeOrFresh(constants, node.input(1))))];
  },
  samples: [
    { inputs: [{ shape: [2, 1] }, { ...target([3, 2, 4]), constant: true }] },
    { name: "target smaller than the input", inputs: [{ shape: [2, 3] }, { ...target([1]), constant: true }] },
    { name: "scalar, run-time shape", inputs: [{ shape: [] }, target([2, 3])] },
  ],
};
