import { int } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { like } from "./types.js";

/** y = x − ln Σ exp x along an axis; with p = exp y: Jᵀu = u − p Σu, Jv = v − Σ p·v. */
export const rule: OpRule<"LogSoftmax"> = {
  op: "LogSoftmax",
  since: 13,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null];
    const total = e.reduceSum(b, dy, [node.int("axis", -1)]);
    return [e.sub(b, dy, e.mul(b, e.exp(b, node.output()), total))];
  },
  jvp: ({ b }, node, [dx]) => {
    if (!dx) return [null];
    const mean = e.reduceSum(b, e.mul(b, e.exp(b, node.output()), dx), [node.int("axis", -1)]);
    return [e.sub(b, dx, mean)];
  },
  infer: like(),
  samples: [
    { inputs: [{ shape: [2, 3] }] },
    { name: "first axis", inputs: [{ shape: [3, 2] }], attributes: { axis: int(0) } },
  ],
};
