import * as e from "./emit.js";
import { reduced, reductionSamples, withReducedAxes } from "./reduction.js";
import type { OpRule } from "./rule.js";

/** y = Σ x over axes (all where none are given). */
export const rule: OpRule<"ReduceSum"> = {
  op: "ReduceSum",
  since: 13,
  vjp: ({ b }, node, [dy]) => [dy ? e.expandLike(b, withReducedAxes(b, node, dy), node.input(0)) : null, null],
  jvp: "linear",
  infer: reduced,
  samples: reductionSamples(),
};
