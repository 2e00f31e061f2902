import type { Graph, Value } from "../ir/graph.js";
import { graphsWithin } from "./pass.js";

/**
 * Dead code: removes nodes that reach no output, and constants that nobody reads, in bodies too. Inputs and outputs
 * stay, those of bodies as well: their positions mean something.
 */
export function dce(graph: Graph): { modified: boolean } {
  let modified = false;
  for (const g of graphsWithin(graph)) modified = sweep(g) || modified;
  return { modified };
}

function sweep(graph: Graph): boolean {
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

/** Makes `outputs` the outputs of the graph and removes what only served others. */
export function pruneTo(graph: Graph, outputs: readonly Value[]): { modified: boolean } {
  const same = outputs.length === graph.outputs.length && outputs.every((o, i) => o === graph.outputs[i]);
  graph.outputs = [...outputs];
  const { modified } = dce(graph);
  return { modified: modified || !same };
}
