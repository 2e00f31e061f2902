import type { Graph, Node, Value } from "../ir/graph.js";
import { dropoutSettings } from "./dropout.js";
import { modulePath } from "./scopes.js";

/** Nodes that train otherwise than they were written, most likely. */
export interface ExportWarning {
  /**
   * Of attentions, `missing`: no Dropout at all, while other layers have theirs; `inactive`: one that is not in training
   * mode. `statistics`: batch norms in evaluation mode, in a model that is otherwise in training mode. `repeats`: scatters that
   * overwrite places that the inputs name.
   */
  kind: "missing" | "inactive" | "statistics" | "repeats";
  nodes: { name: string; path: string }[];
  message: string;
}

/** What lies between the weights of an attention and their product with the values, in one export or another. */
const transparent = new Set([
  "Cast",
  "Expand",
  "Identity",
  "Mul",
  "Reshape",
  "Squeeze",
  "Transpose",
  "Unsqueeze",
  "Where",
]);
const products = new Set(["MatMul", "Einsum"]);

const advice =
  'export again with attn_implementation="eager" (scripts/export_hf.py does), unless the model has no attention dropout';

/**
 * Finds attentions (a Softmax whose result is multiplied into values) that lost their dropout on the way through an
 * exporter: PyTorch writes that of its fused attention (`sdpa`) as a Dropout outside of training mode, or drops it.
 */
export function auditDropouts(graph: Graph): ExportWarning[] {
  const readers = readersOf(graph);
  const dropouts = graph.nodes.filter((n) => n.op === "Dropout").map((n) => dropoutSettings(graph, n));
  const active = dropouts.filter((d) => d.training && d.ratio > 0).length;
  const missing: Node[] = [];
  const inactive: Node[] = [];
  for (const node of graph.nodes) {
    if (node.op !== "Softmax") continue;
    const way = wayToProduct(readers, node.output());
    if (!way || way.some((n) => isActive(graph, n))) continue;
    const dead = way.find((n) => n.op === "Dropout" && dropoutSettings(graph, n).ratio > 0);
    if (dead) inactive.push(dead);
    else if (active > 0) missing.push(node);
  }
  return [
    ...warning("inactive", inactive, "is not in training mode and will drop nothing"),
    ...warning("missing", missing, `is absent, though ${active} other dropouts of the model are active`),
  ];
}

const isActive = (graph: Graph, node: Node): boolean => {
  if (node.op !== "Dropout") return false;
  const { ratio, training } = dropoutSettings(graph, node);
  return training && ratio > 0;
};

/** The nodes that read each value of the graph. */
export function readersOf(graph: Graph): Map<Value, Node[]> {
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const v of node.reads()) {
      const known = readers.get(v);
      if (known) known.push(node);
      else readers.set(v, [node]);
    }
  }
  return readers;
}

/** The nodes between `from` and the first product that reads it as its left factor; null where there is none. */
export function wayToProduct(readers: ReadonlyMap<Value, Node[]>, from: Value): Node[] | null {
  const seen = new Set<Value>();
  const stack: { value: Value; way: Node[] }[] = [{ value: from, way: [] }];
  for (let at = stack.pop(); at; at = stack.pop()) {
    if (seen.has(at.value)) continue;
    seen.add(at.value);
    for (const node of readers.get(at.value) ?? []) {
      if (products.has(node.op) && node.inputs[0] === at.value) return at.way;
      if (node.op !== "Dropout" && !transparent.has(node.op)) continue;
      stack.push({ value: node.output(), way: [...at.way, node] });
    }
  }
  return null;
}

function warning(kind: ExportWarning["kind"], found: readonly Node[], what: string): ExportWarning[] {
  if (found.length === 0) return [];
  return [
    {
      kind,
      nodes: found.map((node) => ({ name: node.name, path: modulePath(node) })),
      message: `the dropout of ${nodesText("attention", found)} ${what}; ${advice}`,
    },
  ];
}

/** `3 attentions (a, b, c)`: how many, and the modules of the first. */
export function nodesText(what: string, nodes: readonly Node[]): string {
  const shown = nodes.slice(0, 3).map((node) => modulePath(node) || node.name);
  const more = nodes.length > shown.length ? `, and ${nodes.length - shown.length} more` : "";
  return `${nodes.length} ${what}${nodes.length === 1 ? "" : "s"} (${shown.join(", ")}${more})`;
}
