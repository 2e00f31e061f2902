import { float, int } from "../../../ir/graph.js";
import { composite } from "../../composite.js";
import { fusedMatMul } from "../../fusedMatMul.js";
import type { LoweredRule } from "../../rule.js";

/** y = α·op(A)·op(B): either may be transposed, in its last two axes and in those of the batch. */
export const rule: LoweredRule<"FusedMatMul"> = composite({
  op: "FusedMatMul",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => [fusedMatMul(b, node)],
  samples: [
    { inputs: [{ shape: [2, 2, 3] }, { shape: [3, 2] }], attributes: { alpha: float(0.5) } },
    {
      name: "transposed",
      inputs: [{ shape: [3, 2] }, { shape: [4, 3] }],
      attributes: { transA: int(1), transB: int(1) },
    },
    {
      name: "batches transposed",
      inputs: [{ shape: [2, 3, 4] }, { shape: [3, 4, 5] }],
      attributes: { transBatchA: int(1) },
    },
  ],
});
