import { tensorType, type Node } from "../ir/graph.js";
import { freshDim } from "../util/shape.js";
import * as e from "./emit.js";
import { broadcastTo } from "./linear.js";
import type { OpRule } from "./rule.js";
import { constantScalar } from "./shapes.js";

/** How many deltas each element lies from start. */
const steps = (b: e.B, node: Node): e.V => e.div(b, e.sub(b, node.output(), node.input(0)), node.input(2));

/** y = start, start + delta, … below limit; limit decides only how many there are. */
export const rule: OpRule<"Range"> = {
  op: "Range",
  since: 11,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null, null];
    const start = need[0] ? e.sumAll(b, dy) : null;
    return [start, null, need[2] ? e.sumAll(b, e.mul(b, dy, steps(b, node))) : null];
  },
  jvp: ({ b }, node, [dstart, , ddelta]) => {
    const moved = ddelta ? e.mul(b, ddelta, steps(b, node)) : null;
    if (!dstart) return [moved];
    return [moved ? e.add(b, dstart, moved) : broadcastTo(b, dstart, node.output())];
  },
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
    { name: "of floats", inputs: [0.5, 2.9, 0.7].map((v) => ({ shape: [], values: [v] })) },
  ],
};
