import { float, int } from "../ir/graph.js";
import { normalizationJvp, normalizationVjp, type Kind } from "./normalization.js";
import type { OpRule } from "./rule.js";

const kind: Kind = { centers: false };

/** y = s·x/√(mean x² + ε) over the axes from `axis` on. */
export const rule: OpRule<"RMSNormalization"> = {
  op: "RMSNormalization",
  since: 23,
  vjp: normalizationVjp(kind),
  jvp: normalizationJvp(kind),
  samples: [
    { inputs: [{ shape: [2, 3, 4] }, { shape: [4] }] },
    {
      name: "two axes",
      inputs: [{ shape: [2, 2, 3] }, { shape: [2, 3] }],
      attributes: { axis: int(-2), epsilon: float(0.01) },
    },
  ],
};
