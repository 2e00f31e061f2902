import { int, tensorType } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { reshapedDims, shapeOrFresh } from "./shapes.js";

const target = (values: readonly number[]) =>
  ({ shape: [values.length], dtype: "int64", values, constant: true }) as const;

/** y = x with other dimensions; -1 is what remains, 0 (without allowzero) the dimension of x there. */
export const rule: OpRule<"Reshape"> = {
  op: "Reshape",
  since: 21,
  vjp: ({ b }, node, [dy]) => [dy ? e.reshapeLike(b, dy, node.input(0)) : null, null],
  jvp: "linear",
  infer: (node, constants) => {
    const x = node.input(0);
    const dims = shapeOrFresh(constants, node.input(1));
    return [tensorType(x.dtype, dims && reshapedDims(x.shape, dims, node.int("allowzero", 0) !== 0))];
  },
  samples: [
    { inputs: [{ shape: [2, 3] }, target([3, 2])] },
    { name: "minus one and zero", inputs: [{ shape: [2, 3, 4] }, target([0, -1])] },
    { name: "to a scalar", inputs: [{ shape: [1, 1] }, target([])] },
    { name: "allowzero", inputs: [{ shape: [2, 3] }, target([6])], attributes: { allowzero: int(1) } },
    { name: "run-time shape", inputs: [{ shape: [2, 3] }, { shape: [2], dtype: "int64", values: [-1, 2] }] },
  ],
};
