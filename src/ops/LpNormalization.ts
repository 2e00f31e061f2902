import { int, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { like } from "./types.js";

interface Parts {
  axis: number;
  norm: e.V;
  /** Derivative of the norm by x: x/‖x‖ or sign x. */
  slope: e.V;
}

function parts(b: e.B, node: Node): Parts {
  const x = node.input(0);
  const axis = node.int("axis", -1);
  if (node.int("p", 2) === 1) return { axis, norm: e.reduceSum(b, e.abs(b, x), [axis]), slope: e.sign(b, x) };
  return { axis, norm: e.sqrt(b, e.reduceSum(b, e.square(b, x), [axis])), slope: node.output() };
}

/** y = x/‖x‖ along an axis, by the sum of absolute values (p = 1) or the Euclidean norm. */
export const rule: OpRule<"LpNormalization"> = {
  op: "LpNormalization",
  since: 1,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null];
    const { axis, norm, slope } = parts(b, node);
    const inner = e.reduceSum(b, e.mul(b, dy, node.output()), [axis]);
    return [e.div(b, e.sub(b, dy, e.mul(b, slope, inner)), norm)];
  },
  jvp: ({ b }, node, [dx]) => {
    if (!dx) return [null];
    const { axis, norm, slope } = parts(b, node);
    const inner = e.reduceSum(b, e.mul(b, dx, slope), [axis]);
    return [e.div(b, e.sub(b, dx, e.mul(b, node.output(), inner)), norm)];
  },
  infer: like(),
  samples: [
    { inputs: [{ shape: [2, 3], range: [0.3, 1.5] }] },
    {
      name: "sum of absolute values, first axis",
      inputs: [{ shape: [3, 2], avoid: { points: [0], distance: 0.2 } }],
      attributes: { p: int(1), axis: int(0) },
    },
  ],
};
