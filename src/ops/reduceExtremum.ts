import type { Node } from "../ir/graph.js";
import * as e from "./emit.js";
import { reduceAlike, reduced, reducesNothing, reductionSamples, withReducedAxes } from "./reduction.js";
import type { OpRule } from "./rule.js";

/** Where the input attains the extremum, as numbers, and how often, in the shape of the output. */
function hits(b: e.B, node: Node): { at: e.V; count: e.V } {
  const x = node.input(0);
  const at = e.cast(b, e.equal(b, x, withReducedAxes(b, node, node.output())), x.dtype);
  return { at, count: reduceAlike(b, node, at) };
}

/** Extremum over axes; ties share evenly, as PyTorch's amax and amin. */
export const reduceExtremum = <O extends "ReduceMax" | "ReduceMin">(op: O): OpRule<O> => ({
  op,
  since: 20,
  vjp: ({ b }, node, [dy]) => {
    if (!dy || reducesNothing(b, node)) return [dy ?? null, null];
    const { at, count } = hits(b, node);
    return [e.mul(b, at, withReducedAxes(b, node, e.div(b, dy, count))), null];
  },
  jvp: ({ b }, node, [dx]) => {
    if (!dx || reducesNothing(b, node)) return [dx ?? null];
    const { at, count } = hits(b, node);
    return [e.div(b, reduceAlike(b, node, e.mul(b, at, dx)), count)];
  },
  infer: reduced,
  samples: reductionSamples({ distinct: 0.02 }),
});
