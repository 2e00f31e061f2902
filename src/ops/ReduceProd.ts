import type { Node } from "../ir/graph.js";
import * as e from "./emit.js";
import { reduceAlike, withReducedAxes } from "./reduction.js";
import type { OpRule } from "./rule.js";
import { slopeReduction } from "./slopeReduction.js";
import { parted, vanishing } from "./vanishing.js";

/** The product of the other elements: of those that are not 0, and of those that are. */
function others(b: e.B, x: e.V, y: e.V, node: Node): e.V {
  const { rest, zeros, isZero } = parted(b, x);
  const product = b.op("ReduceProd", [rest, ...node.inputs.slice(1)], node.attributes, { types: [node.output().type] });
  const without = (own: e.V): e.V => e.sub(b, withReducedAxes(b, node, reduceAlike(b, node, own)), own);
  const share = e.div(b, withReducedAxes(b, node, product), rest);
  return e.mul(b, share, vanishing(b, without(isZero), without(zeros)));
}

/** y = Π x over axes. First and second derivatives hold at zeros too. */
export const rule: OpRule<"ReduceProd"> = slopeReduction(
  "ReduceProd",
  18,
  others,
  { avoid: { points: [0], distance: 0.2 } },
  [
    {
      name: "zeros: none, one, two and three of them",
      inputs: [
        { shape: [4, 3], values: [0.5, -1.2, 0.8, 0, 1.3, -0.7, 0, 0.9, 0, 0, 0, 0] },
        { shape: [1], dtype: "int64", values: [1], constant: true },
      ],
    },
  ],
);
