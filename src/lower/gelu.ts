import { Node, type Graph, type Value } from "../ir/graph.js";
import { readersOf } from "./uses.js";

/**
 * Gelu(x) = x·Φ(x) where the derivative computes Φ(x) = ½ erf(x/√2) + ½ anyway: one product instead of the kernel, which would
 * take the error function a second time.
 */
export function shareGelus(graph: Graph): { modified: boolean } {
  const readers = readersOf(graph);
  const one = (v: Value, op: string, x?: number): Value | null => {
    for (const node of readers.get(v) ?? []) {
      if (node.op !== op || node.domain !== "") continue;
      if (x === undefined) return node.output();
      const constant = node.inputs.find((other) => other && other !== v);
      const value = constant && graph.constantOf(constant)?.numbers();
      if (value?.length === 1 && value[0] === Math.fround(x)) return node.output();
    }
    return null;
  };
  const cdf = (x: Value): Value | null => {
    const scaled = one(x, "Mul", Math.SQRT1_2);
    const erf = scaled && one(scaled, "Erf");
    const half = erf && one(erf, "Mul", 0.5);
    return half && one(half, "Add", 0.5);
  };
  const shared = new Map<Node, Value>();
  for (const node of graph.nodes) {
    if (node.op !== "Gelu" || node.domain !== "" || node.string("approximate", "none") !== "none") continue;
    const probability = cdf(node.input(0));
    if (probability) shared.set(node, probability);
  }
  if (shared.size === 0) return { modified: false };
  // What computes Φ stands with the derivative, after the forward pass: it moves to where it is first needed.
  const placed = new Set<Node>();
  const chain = (v: Value, stop: Value): Node[] => {
    const node = v.producer;
    if (!node || v === stop || placed.has(node)) return [];
    placed.add(node);
    return [...node.inputs.flatMap((i) => (i ? chain(i, stop) : [])), node];
  };
  const made = new Map<Node, Node[]>();
  for (const [node, probability] of shared) {
    const x = node.input(0);
    const product = new Node("Mul", [x, probability], node.outputs, {}, {}, "", node.name);
    made.set(node, [...chain(probability, x), product]);
  }
  graph.nodes = graph.nodes.flatMap((node) => made.get(node) ?? (placed.has(node) ? [] : [node]));
  return { modified: true };
}
