import { sweep } from "../ir/edit.js";
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

/** Makes `outputs` the outputs of the graph and removes what only served others. */
export function pruneTo(graph: Graph, outputs: readonly Value[]): { modified: boolean } {
  const same = outputs.length === graph.outputs.length && outputs.every((o, i) => o === graph.outputs[i]);
  graph.outputs = [...outputs];
  const { modified } = dce(graph);
  return { modified: modified || !same };
}
