import { float } from "../../../ir/graph.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";

/** y = 1 where x exceeds a threshold, else 0: without a derivative. */
export const rule: LoweredRule<"Binarizer"> = {
  ...composite<"Binarizer">({
    op: "Binarizer",
    domain: "ai.onnx.ml",
    since: 1,
    decompose: (b, node) => {
      const x = node.input(0);
      return [e.cast(b, e.greater(b, x, e.scalarLike(b, node.float("threshold", 0), x)), x.dtype)];
    },
    samples: [{ inputs: [{ shape: [2, 3] }], attributes: { threshold: float(0.1) } }],
  }),
  vjp: "zero",
  jvp: "zero",
};
