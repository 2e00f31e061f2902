import { float } from "../../../ir/graph.js";
import { check } from "../../../util/assert.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";
import { standardize } from "../../standardize.js";

/** y = γ·s/√(mean s² + ε) over the last axis, s = x + skip + bias; also s, where the node gives it. */
export const rule: LoweredRule<"SkipSimplifiedLayerNormalization"> = composite({
  op: "SkipSimplifiedLayerNormalization",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const [x, skip, gamma, bias] = [node.input(0), node.input(1), node.input(2), node.inputs[3]];
    check(
      !node.outputs[1] && !node.outputs[2],
      () => `${node.label}: its mean and deviation as outputs have no form here`,
    );
    const sum = e.add(b, bias ? e.add(b, x, bias) : x, skip);
    const { normalized } = standardize(b, sum, [-1], node.float("epsilon", 1e-5), { centers: false });
    return [e.mul(b, normalized, gamma), null, null, node.outputs[3] ? sum : null];
  },
  samples: [
    { inputs: [{ shape: [2, 2, 4] }, { shape: [2, 2, 4] }, { shape: [4] }], attributes: { epsilon: float(0.01) } },
    { name: "a bias", inputs: [{ shape: [1, 2, 4] }, { shape: [1, 2, 4] }, { shape: [4] }, { shape: [4] }] },
  ],
});
