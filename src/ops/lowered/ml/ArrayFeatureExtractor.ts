import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";

/** y = elements of x along its last axis, at integer indices; of a vector, as one row. */
export const rule: LoweredRule<"ArrayFeatureExtractor"> = composite({
  op: "ArrayFeatureExtractor",
  domain: "ai.onnx.ml",
  since: 1,
  decompose: (b, node) => {
    const [x, indices] = [node.input(0), e.reshape(b, node.input(1), [-1])];
    const read = e.gather(b, x, indices, x.dims.length - 1);
    return [x.dims.length === 1 ? e.unsqueeze(b, read, [0]) : read];
  },
  samples: [{ inputs: [{ shape: [2, 4] }, { shape: [3], dtype: "int64", values: [1, 3, 1] }] }],
});
