import * as e from "./emit.js";
import { reduced, reducedCount, reducesNothing, reductionSamples, withReducedAxes } from "./reduction.js";
import type { OpRule } from "./rule.js";

/** y = mean of x over axes (all where none are given). */
export const rule: OpRule<"ReduceMean"> = {
  op: "ReduceMean",
  since: 18,
  vjp: ({ b }, node, [dy]) => {
    if (!dy || reducesNothing(b, node)) return [dy ?? null, null];
    const each = e.div(b, withReducedAxes(b, node, dy), reducedCount(b, node));
    return [e.expandLike(b, each, node.input(0)), null];
  },
  jvp: "linear",
  infer: reduced,
  samples: reductionSamples(),
};
