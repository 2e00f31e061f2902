import { int } from "../../../ir/graph.js";
import { composite } from "../../composite.js";
import type { LoweredRule } from "../../rule.js";

/** ONNX's Trilu under its older name. */
export const rule: LoweredRule<"Trilu"> = composite({
  op: "Trilu",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => [b.op("Trilu", node.inputs, node.attributes)],
  samples: [{ inputs: [{ shape: [2, 3, 3] }], attributes: { upper: int(0) } }],
});
