import { composite } from "./composite.js";
import { labelLoss, labelLossSamples } from "./labelLoss.js";
import type { OpRule } from "./rule.js";

/** −Σ wᵢ x[i, label], or its weighted mean. */
export const rule: OpRule<"NegativeLogLikelihoodLoss"> = composite({
  op: "NegativeLogLikelihoodLoss",
  since: 13,
  decompose: (b, node) => [labelLoss(b, node, node.input(0))],
  samples: labelLossSamples(1),
});
