import type { Graph, Value } from "./graph.js";

/** Reads `map`'s values where the graph, or a graph within it, reads its keys. */
export function substitute(graph: Graph, map: ReadonlyMap<Value, Value>): void {
  if (map.size === 0) return;
  const at = <V extends Value | null>(v: V): V | Value => (v && map.get(v)) ?? v;
  for (const node of graph.nodes) {
    node.inputs = node.inputs.map(at);
    for (const body of node.graphs()) substitute(body, map);
  }
  graph.outputs = graph.outputs.map(at);
}

/** Removes the nodes of `graph` that reach none of its outputs, and the constants that nobody reads; not within bodies. */
export function sweep(graph: Graph): boolean {
  const live = new Set<Value>(graph.outputs);
  const kept = graph.nodes
    .reverse()
    .filter((node) => {
      if (!node.outputs.some((o) => o && live.has(o))) return false;
      for (const v of node.reads()) live.add(v);
      return true;
    })
    .reverse();
  let modified = kept.length < graph.nodes.length;
  graph.nodes = kept;
  const inputs = new Set(graph.inputs);
  for (const constants of [graph.initializers, graph.sparseInitializers]) {
    for (const value of constants.keys()) {
      if (live.has(value) || inputs.has(value)) continue;
      constants.delete(value);
      modified = true;
    }
  }
  return modified;
}
