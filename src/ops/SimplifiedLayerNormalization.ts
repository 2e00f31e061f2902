import { float } from "../ir/graph.js";
import { normalizationJvp, normalizationVjp, type Kind } from "./normalization.js";
import type { OpRule } from "./rule.js";

const kind: Kind = { centers: false, inverseOutput: 1 };

/** ONNX Runtime's own form of RMSNormalization, in the default domain; also 1/√(mean x² + ε) where the node gives it. */
export const rule: OpRule<"SimplifiedLayerNormalization"> = {
  op: "SimplifiedLayerNormalization",
  since: 1,
  vjp: normalizationVjp(kind),
  jvp: normalizationJvp(kind),
  samples: [
    { inputs: [{ shape: [2, 3, 4] }, { shape: [4] }] },
    {
      name: "two outputs",
      inputs: [{ shape: [3, 4] }, { shape: [4] }],
      attributes: { epsilon: float(0.01) },
      outputs: 2,
    },
  ],
};
