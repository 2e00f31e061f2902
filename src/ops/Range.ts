import { tensorType } from "../ir/graph.js";
import { freshDim } from "../util/shape.js";
import type { OpRule } from "./rule.js";
import { constantScalar } from "./shapes.js";

/** y = start, start + delta, … below limit; its ends are not differentiated. */
export const rule: OpRule<"Range"> = {
  op: "Range",
  since: 11,
  vjp: "zero",
  jvp: "zero",
  infer: (node, constants) => {
    const [start, limit, delta] = [0, 1, 2].map((i) => constantScalar(constants, node.input(i)));
    const known = start !== undefined && limit !== undefined && delta !== undefined;
    const count = known ? Math.max(0, Math.ceil((limit - start) / delta)) : freshDim();
    return [tensorType(node.input(0).dtype, [count])];
  },
  samples: [
    {
      inputs: [1, 7, 2].map((v) => ({ shape: [], dtype: "int64" as const, values: [v], constant: true })),
    },
  ],
};
