import { substitute } from "../ir/edit.js";
import { Value, tensorType, type Graph, type Node } from "../ir/graph.js";
import { readersOf } from "./uses.js";

/**
 * Takes mean and 1/√(variance + ε) from LayerNormalization itself where the backward pass computes them anew, as
 * ReduceMean(x) and Reciprocal(Sqrt(ReduceMean((x − mean)²) + ε)): the kernel has both at no cost. What is left without a
 * reader is dead code.
 */
export function shareNormalizations(graph: Graph): { modified: boolean } {
  const readers = readersOf(graph);
  const outputs = new Set(graph.outputs);
  const map = new Map<Value, Value>();
  const only = (v: Value, op: string): Node[] => (readers.get(v) ?? []).filter((n) => n.op === op && n.domain === "");
  const isLast = (node: Node): boolean => {
    const axes = node.inputs[1] && graph.constantOf(node.inputs[1])?.numbers();
    const last = axes?.length === 1 && (axes[0] === -1 || axes[0] === (node.input(0).shape?.length ?? NaN) - 1);
    return last && node.int("keepdims", 1) === 1;
  };
  for (const node of graph.nodes) {
    if (node.op !== "LayerNormalization" || node.int("axis", -1) !== -1 || node.outputs.length > 1) continue;
    const epsilon = Math.fround(node.float("epsilon", 1e-5));
    const [mean] = only(node.input(0), "ReduceMean").filter(isLast);
    const [centered] = mean ? only(mean.output(), "Sub").filter((n) => n.input(0) === node.input(0)) : [];
    if (!mean || !centered || outputs.has(mean.output())) continue;
    const inverse = inverseOf(centered.output());
    if (!inverse || outputs.has(inverse)) continue;
    const type = tensorType("float32", null);
    const made = ["mean", "inverse"].map((name) => new Value(`${node.name}/${name}`, type));
    for (const v of made) v.producer = node;
    node.outputs = [node.outputs[0] ?? null, ...made];
    [mean.output(), inverse].forEach((old, i) => map.set(old, made[i] ?? old));

    function inverseOf(c: Value): Value | null {
      for (const square of only(c, "Mul").filter((n) => n.inputs.every((v) => v === c))) {
        for (const variance of only(square.output(), "ReduceMean").filter(isLast)) {
          for (const shifted of only(variance.output(), "Add")) {
            const other = shifted.inputs.find((v) => v !== variance.output());
            if (!other || graph.constantOf(other)?.numbers()[0] !== epsilon) continue;
            const [root] = only(shifted.output(), "Sqrt");
            const [reciprocal] = root ? only(root.output(), "Reciprocal") : [];
            if (reciprocal) return reciprocal.output();
          }
        }
      }
      return null;
    }
  }
  substitute(graph, map);
  return { modified: map.size > 0 };
}
