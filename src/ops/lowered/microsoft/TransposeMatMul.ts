import { int } from "../../../ir/graph.js";
import { composite } from "../../composite.js";
import { fusedMatMul } from "../../fusedMatMul.js";
import type { LoweredRule } from "../../rule.js";

/** y = α·op(A)·op(B): FusedMatMul under its older name. */
export const rule: LoweredRule<"TransposeMatMul"> = composite({
  op: "TransposeMatMul",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => [fusedMatMul(b, node)],
  samples: [{ inputs: [{ shape: [2, 3] }, { shape: [2, 3] }], attributes: { transB: int(1) } }],
});
