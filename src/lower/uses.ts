import type { Graph, Node, Value } from "../ir/graph.js";

/** How often each value is read, by nodes, by bodies of nodes, and as an output of the graph. */
export function usesOf(graph: Graph): Map<Value, number> {
  const uses = new Map<Value, number>();
  const count = (v: Value): void => void uses.set(v, (uses.get(v) ?? 0) + 1);
  for (const node of graph.nodes) for (const v of node.reads()) count(v);
  for (const v of graph.outputs) count(v);
  return uses;
}

/** The nodes that read each value themselves (not in their bodies). */
export function readersOf(graph: Graph): Map<Value, Node[]> {
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const v of new Set(node.inputs)) {
      if (!v) continue;
      const list = readers.get(v);
      if (list) list.push(node);
      else readers.set(v, [node]);
    }
  }
  return readers;
}
