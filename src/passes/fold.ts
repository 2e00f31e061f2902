import { tensorType, type Graph, type Node, type Value } from "../ir/graph.js";
import type { Tensor } from "../ir/tensor.js";
import { constantTensor } from "./constants.js";
import { evaluators, largest } from "./evaluate.js";
import { fromTensor, isFoldable, isInteger, small, toTensor, type Small } from "./small.js";

/** What is known of values, in a graph and those around it. */
type Known = Map<Value, Small>;

const readable = (t: Tensor): boolean => t.size <= largest && isFoldable(t.dtype);

/** Shape, Size: what a type says, unknown where a dimension is symbolic. */
function fromType(node: Node): Small | null {
  const shape = node.inputs[0]?.shape;
  if (!shape) return null;
  if (node.op === "Size") {
    const known = shape.every((d) => typeof d === "number");
    return small("int64", [], [known ? shape.reduce<bigint>((n, d) => n * BigInt(d), 1n) : null]);
  }
  const rank = shape.length;
  const bound = (at: number): number => Math.min(Math.max(at < 0 ? at + rank : at, 0), rank);
  const dims = shape.slice(bound(node.int("start", 0)), bound(node.int("end", rank)));
  return small(
    "int64",
    [dims.length],
    dims.map((d) => (typeof d === "number" ? BigInt(d) : null)),
  );
}

function evaluate(node: Node, known: Known): Small | null {
  if (node.domain !== "") return null;
  if (node.op === "Constant") {
    const tensor = constantTensor(node);
    return tensor && readable(tensor) ? fromTensor(tensor) : null;
  }
  if (node.op === "Shape" || node.op === "Size") return fromType(node);
  const evaluator = Object.hasOwn(evaluators, node.op) ? evaluators[node.op] : undefined;
  if (!evaluator || node.inputs.some((v) => v && !known.has(v))) return null;
  return evaluator(
    node,
    node.inputs.map((v) => (v && known.get(v)) ?? null),
  );
}

/**
 * Constant folding of the small arithmetic that shapes and axes go through: results become initializers. Elements are
 * followed one by one, so that the static half of a dynamic shape folds. Floating-point initializers are never read, as
 * they may be trained; floats that come from Constant nodes or from integers are. Types are taken at their word.
 */
export function fold(graph: Graph): { modified: boolean } {
  return { modified: foldIn(graph, new Map()) };
}

function foldIn(graph: Graph, outer: Known): boolean {
  const known: Known = new Map(outer);
  const inputs = new Set(graph.inputs);
  const outputs = new Set(graph.outputs);
  for (const [value, tensor] of graph.initializers) {
    if (!inputs.has(value) && isInteger(tensor.dtype) && readable(tensor)) known.set(value, fromTensor(tensor));
  }
  let modified = false;
  graph.nodes = graph.nodes.filter((node) => {
    for (const body of node.graphs()) modified = foldIn(body, known) || modified;
    const value = node.outputs[0];
    if (!value || node.outputs.length > 1) return true;
    const result = evaluate(node, known);
    if (!result) return true;
    known.set(value, result);
    const tensor = toTensor(result);
    if (!tensor || outputs.has(value)) return true;
    value.producer = null;
    value.type = tensorType(tensor.dtype, tensor.dims);
    graph.initializers.set(value, tensor);
    modified = true;
    return false;
  });
  return modified;
}
