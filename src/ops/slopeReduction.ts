import type { Node } from "../ir/graph.js";
import * as e from "./emit.js";
import { reduceAlike, reduced, reductionSamples, withReducedAxes } from "./reduction.js";
import type { OpRule, Sample, SampleInput } from "./rule.js";

/** ∂y/∂x element by element, in the shape of x; `y` has the reduced axes kept as 1. */
export type Slope = (b: e.B, x: e.V, y: e.V, node: Node) => e.V;

/** The rule of a reduction y = f({x}) over axes: Jᵀu = slope · u, Jv = Σ slope · v. */
export function slopeReduction<O extends string>(
  op: O,
  since: number,
  slope: Slope,
  input: Partial<SampleInput> = {},
  samples: readonly Sample[] = [],
): OpRule<O> {
  const at = (b: e.B, node: Node): e.V => slope(b, node.input(0), withReducedAxes(b, node, node.output()), node);
  return {
    op,
    since,
    vjp: ({ b }, node, [dy]) => [dy ? e.mul(b, at(b, node), withReducedAxes(b, node, dy)) : null, null],
    jvp: ({ b }, node, [dx]) => [dx ? reduceAlike(b, node, e.mul(b, at(b, node), dx)) : null],
    infer: reduced,
    samples: [...reductionSamples(input), ...samples],
  };
}
