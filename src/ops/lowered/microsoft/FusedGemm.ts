import { float, int, string } from "../../../ir/graph.js";
import { activate } from "../../activation.js";
import { composite } from "../../composite.js";
import type { LoweredRule } from "../../rule.js";

/** y = f(α·op(A)·op(B) + β·C). */
export const rule: LoweredRule<"FusedGemm"> = composite({
  op: "FusedGemm",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const own = ["alpha", "beta", "transA", "transB"];
    const attributes = Object.fromEntries(Object.entries(node.attributes).filter(([name]) => own.includes(name)));
    const product = b.op("Gemm", node.inputs, attributes);
    const parameters = ["alpha", "beta", "gamma"].map((name) => node.float(`activation_${name}`));
    const given = parameters.filter((p) => p !== undefined);
    return [activate(b, product, node.string("activation", ""), given, node.label)];
  },
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [3, 2] }, { shape: [2] }], attributes: { activation: string("Tanh") } },
    {
      name: "transposed, scaled, a leaky activation",
      inputs: [{ shape: [2, 3] }, { shape: [4, 3] }, { shape: [4] }],
      attributes: { transB: int(1), alpha: float(0.7), activation: string("LeakyRelu"), activation_alpha: float(0.2) },
    },
  ],
});
