import { int } from "../ir/graph.js";
import { composite } from "./composite.js";
import { labelLoss, labelLossSamples } from "./labelLoss.js";
import type { OpRule } from "./rule.js";

/** −Σ wᵢ log softmax(x)[i, label], or its weighted mean; also the logarithms, where the node gives them. */
export const rule: OpRule<"SoftmaxCrossEntropyLoss"> = composite({
  op: "SoftmaxCrossEntropyLoss",
  since: 13,
  decompose: (b, node) => {
    const logp = b.op("LogSoftmax", [node.input(0)], { axis: int(1) });
    return [labelLoss(b, node, logp), node.outputs[1] ? logp : null];
  },
  samples: [...labelLossSamples(1), ...labelLossSamples(2)],
});
