import { int, string, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { Sample } from "./rule.js";

/** −Σ wᵢ logp[i, label] under the node's reduction; ignored labels weigh nothing. Classes lie along axis 1. */
export function labelLoss(b: e.B, node: Node, logp: e.V): e.V {
  const labels = e.cast(b, node.input(1), "int64");
  const ignored = node.int("ignore_index");
  const zero = b.scalar(0, "int64");
  const kept = ignored === undefined ? null : e.not(b, e.equal(b, labels, b.scalar(ignored, "int64")));
  const safe = kept ? e.where(b, kept, labels, zero) : labels;
  const taken = e.squeeze(b, e.gatherElements(b, logp, e.unsqueeze(b, safe, [1]), 1), [1]);
  const classWeights = node.inputs[2];
  let weights = classWeights ? e.gather(b, classWeights, safe, 0) : null;
  if (kept) {
    const mask = e.cast(b, kept, logp.dtype);
    weights = weights ? e.mul(b, weights, mask) : mask;
  }
  const losses = e.neg(b, weights ? e.mul(b, taken, weights) : taken);
  const reduction = node.string("reduction", "mean");
  if (reduction === "none") return losses;
  const sum = e.sumAll(b, losses);
  if (reduction === "sum") return sum;
  return e.div(b, sum, weights ? e.sumAll(b, weights) : e.cast(b, e.size(b, labels), logp.dtype));
}

/** Samples of a loss over labels; `outputs` of each. */
export const labelLossSamples = (outputs: number): Sample[] => {
  const labels = (shape: readonly number[], values: readonly number[]) => ({ shape, values, dtype: "int64" }) as const;
  return [
    { inputs: [{ shape: [3, 4] }, labels([3], [1, 0, 3])], outputs },
    {
      name: "weights, an ignored label, two more axes",
      inputs: [{ shape: [2, 3, 2] }, labels([2, 2], [0, 2, -1, 1]), { shape: [3], range: [0.5, 1.5] }],
      attributes: { ignore_index: int(-1) },
      outputs,
    },
    {
      name: "none",
      inputs: [{ shape: [2, 3] }, labels([2], [2, 1])],
      attributes: { reduction: string("none") },
      outputs,
    },
    {
      name: "sum, weights",
      inputs: [{ shape: [2, 3] }, labels([2], [2, 1]), { shape: [3], range: [0.5, 1.5] }],
      attributes: { reduction: string("sum") },
      outputs,
    },
  ];
};
