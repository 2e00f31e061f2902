import { string } from "../../../ir/graph.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";

/** y = the distances, or their squares, of each row of A to each row of B; equal rows have the derivative 0. */
export const rule: LoweredRule<"CDist"> = composite({
  op: "CDist",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const differences = e.sub(b, e.unsqueeze(b, node.input(0), [1]), e.unsqueeze(b, node.input(1), [0]));
    const op = node.string("metric", "sqeuclidean") === "euclidean" ? "ReduceL2" : "ReduceSumSquare";
    return [b.op(op, [differences, b.int64s([2])], { keepdims: { type: "int", value: 0n } })];
  },
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [3, 3] }], attributes: { metric: string("sqeuclidean") } },
    { name: "distances", inputs: [{ shape: [2, 3] }, { shape: [2, 3] }], attributes: { metric: string("euclidean") } },
  ],
});
