import type { Node } from "../ir/graph.js";
import * as e from "./emit.js";
import { reduceAlike, withReducedAxes } from "./reduction.js";
import type { OpRule } from "./rule.js";
import { slopeReduction } from "./slopeReduction.js";

/** 1/n at the n elements that attain the extremum, 0 elsewhere. */
function shares(b: e.B, x: e.V, y: e.V, node: Node): e.V {
  const hits = e.cast(b, e.equal(b, x, y), x.dtype);
  return e.div(b, hits, withReducedAxes(b, node, reduceAlike(b, node, hits)));
}

/** Extremum over axes; ties share evenly, as PyTorch's amax and amin. */
export const reduceExtremum = <O extends "ReduceMax" | "ReduceMin">(op: O): OpRule<O> =>
  slopeReduction(op, 20, shares, { distinct: 0.02 });
