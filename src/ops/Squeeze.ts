import { tensorType } from "../ir/graph.js";
import { normalizeAxis } from "../util/shape.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { constantNumbers } from "./shapes.js";

const axes = (values: readonly number[]) =>
  ({ shape: [values.length], dtype: "int64", values, constant: true }) as const;

/** y = x without axes of 1: the given ones, or all. */
export const rule: OpRule<"Squeeze"> = {
  op: "Squeeze",
  since: 21,
  vjp: ({ b }, node, [dy]) => {
    const x = node.input(0);
    const given = node.inputs[1];
    if (!dy) return [null, null];
    return [given ? b.op("Unsqueeze", [dy, given], {}, { types: [x.type] }) : e.reshapeLike(b, dy, x), null];
  },
  jvp: "linear",
  infer: (node, constants) => {
    const x = node.input(0);
    const shape = x.shape;
    if (!shape) return [x.type];
    const given = node.inputs[1] ? constantNumbers(constants, node.inputs[1]) : undefined;
    if (given) {
      const gone = given.map((a) => normalizeAxis(a, shape.length));
      return [
        tensorType(
          x.dtype,
          shape.filter((_, i) => !gone.includes(i)),
        ),
      ];
    }
    const certain = !node.inputs[1] && shape.every((d) => typeof d === "number");
    return [tensorType(x.dtype, certain ? shape.filter((d) => d !== 1) : null)];
  },
  samples: [
    { inputs: [{ shape: [2, 1, 3] }, axes([1])] },
    { name: "negative axes", inputs: [{ shape: [1, 3, 1] }, axes([-1, 0])] },
    { name: "every axis of 1", inputs: [{ shape: [1, 3, 1] }] },
    { name: "to a scalar", inputs: [{ shape: [1] }, axes([0])] },
  ],
};
