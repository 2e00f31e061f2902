import type { Node } from "../ir/graph.js";
import * as e from "./emit.js";
import { reduceAlike, withReducedAxes } from "./reduction.js";
import type { OpRule } from "./rule.js";
import { slopeReduction } from "./slopeReduction.js";

/** The product of the other elements: P/x with P the product of those that are not 0, and 0 where another one is 0. */
function others(b: e.B, x: e.V, y: e.V, node: Node): e.V {
  const zero = e.scalarLike(b, 0, x);
  const vanishes = e.equal(b, x, zero);
  const safe = e.where(b, vanishes, e.scalarLike(b, 1, x), x);
  const product = b.op("ReduceProd", [safe, ...node.inputs.slice(1)], node.attributes, { types: [node.output().type] });
  const isZero = e.cast(b, vanishes, x.dtype);
  const otherZeros = e.sub(b, withReducedAxes(b, node, reduceAlike(b, node, isZero)), isZero);
  const share = e.div(b, withReducedAxes(b, node, product), safe);
  return e.where(b, e.equal(b, otherZeros, zero), share, zero);
}

/** y = Π x over axes. First derivatives hold at zeros too; second ones where no element is 0. */
export const rule: OpRule<"ReduceProd"> = slopeReduction("ReduceProd", 18, others, {
  avoid: { points: [0], distance: 0.2 },
});
