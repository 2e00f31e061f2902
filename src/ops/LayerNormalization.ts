import { float, int } from "../ir/graph.js";
import { normalizationJvp, normalizationVjp, type Kind } from "./normalization.js";
import type { OpRule } from "./rule.js";

const kind: Kind = { centers: true, meanOutput: 1, inverseOutput: 2 };

/** y = s·(x − μ)/√(σ² + ε) + b over the axes from `axis` on; also μ and 1/√(σ² + ε) where the node gives them. */
export const rule: OpRule<"LayerNormalization"> = {
  op: "LayerNormalization",
  since: 17,
  vjp: normalizationVjp(kind),
  jvp: normalizationJvp(kind),
  samples: [
    { inputs: [{ shape: [2, 3, 4] }, { shape: [4] }, { shape: [4] }] },
    { name: "no bias", inputs: [{ shape: [3, 4] }, { shape: [4] }], attributes: { epsilon: float(0.01) } },
    {
      name: "two axes",
      inputs: [{ shape: [2, 2, 3] }, { shape: [2, 3] }, { shape: [2, 3] }],
      attributes: { axis: int(1) },
    },
    { name: "a scale that broadcasts", inputs: [{ shape: [2, 3] }, { shape: [1] }, { shape: [3] }] },
    { name: "three outputs", inputs: [{ shape: [3, 4] }, { shape: [4] }, { shape: [4] }], outputs: 3 },
  ],
};
