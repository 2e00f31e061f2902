import { ints, type Node } from "../ir/graph.js";
import { normalizeAxis } from "../util/shape.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { like } from "./types.js";

interface Parts {
  axes: number[];
  centered: e.V;
  deviation: e.V;
  inverse: e.V;
}

/** c = x − mean x, σ = √(mean c²), r = 1/(σ + 1e-9). */
function parts(b: e.B, node: Node): Parts {
  const x = node.input(0);
  const axes = (node.ints("axes") ?? [0, 2, 3]).map((a) => normalizeAxis(a, x.dims.length));
  const centered = e.sub(b, x, e.reduceMean(b, x, axes));
  const deviation = e.sqrt(b, e.reduceMean(b, e.square(b, centered), axes));
  return { axes, centered, deviation, inverse: e.reciprocal(b, e.shift(b, deviation, 1e-9)) };
}

/** r(d − mean d) − c·mean(d·c)·r²/σ: the Jacobian is symmetric, so both modes are this. */
function apply(b: e.B, node: Node, d: e.V): e.V {
  const { axes, centered, deviation, inverse } = parts(b, node);
  const inner = e.reduceMean(b, e.mul(b, d, centered), axes);
  const factor = e.div(b, e.mul(b, inner, e.square(b, inverse)), deviation);
  const direct = e.mul(b, inverse, e.sub(b, d, e.reduceMean(b, d, axes)));
  return e.sub(b, direct, e.mul(b, centered, factor));
}

/** y = (x − mean x)/(σ + 1e-9) over axes (0, 2 and 3 where none are given). */
export const rule: OpRule<"MeanVarianceNormalization"> = {
  op: "MeanVarianceNormalization",
  since: 13,
  vjp: ({ b }, node, [dy]) => [dy ? apply(b, node, dy) : null],
  jvp: ({ b }, node, [dx]) => [dx ? apply(b, node, dx) : null],
  infer: like(),
  samples: [
    { inputs: [{ shape: [2, 2, 2, 3] }] },
    { name: "last axis", inputs: [{ shape: [2, 4] }], attributes: { axes: ints([-1]) } },
  ],
};
