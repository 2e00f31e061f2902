import { float, int } from "../../../ir/graph.js";
import { check } from "../../../util/assert.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";

/** y = LayerNormalization(x + skip + bias) over the last axis; also the sum, where the node gives it. */
export const rule: LoweredRule<"SkipLayerNormalization"> = composite({
  op: "SkipLayerNormalization",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const [x, skip, gamma, beta, bias] = [node.input(0), node.input(1), node.input(2), node.inputs[3], node.inputs[4]];
    check(
      !node.outputs[1] && !node.outputs[2],
      () => `${node.label}: its mean and deviation as outputs have no form here`,
    );
    const sum = e.add(b, bias ? e.add(b, x, bias) : x, skip);
    const attributes = { axis: int(-1), epsilon: float(node.float("epsilon", 1e-12)) };
    const y = b.op("LayerNormalization", [sum, gamma, beta ?? null], attributes, { types: [sum.type] });
    return [y, null, null, node.outputs[3] ? sum : null];
  },
  samples: [
    { inputs: [x(2, 2, 4), x(2, 2, 4), x(4), x(4)] },
    { name: "a bias", inputs: [x(1, 2, 4), x(1, 2, 4), x(4), x(4), x(4)], attributes: { epsilon: float(0.01) } },
  ],
});

function x(...shape: number[]) {
  return { shape };
}
