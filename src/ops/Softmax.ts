import { int, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { like } from "./types.js";

/** y(d − Σ d·y): the Jacobian of a softmax is symmetric, so both modes are this. */
function apply(b: e.B, node: Node, d: e.V): e.V {
  const y = node.output();
  const inner = e.reduceSum(b, e.mul(b, d, y), [node.int("axis", -1)]);
  return e.mul(b, y, e.sub(b, d, inner));
}

/** y = exp x / Σ exp x along an axis. */
export const rule: OpRule<"Softmax"> = {
  op: "Softmax",
  since: 13,
  vjp: ({ b }, node, [dy]) => [dy ? apply(b, node, dy) : null],
  jvp: ({ b }, node, [dx]) => [dx ? apply(b, node, dx) : null],
  infer: like(),
  samples: [
    { inputs: [{ shape: [2, 3] }] },
    { name: "first axis", inputs: [{ shape: [3, 2] }], attributes: { axis: int(0) } },
    { name: "middle axis", inputs: [{ shape: [2, 3, 2] }], attributes: { axis: int(-2) } },
  ],
};
