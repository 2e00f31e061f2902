import type { Graph } from "../ir/graph.js";
import { decomposeBatchNorms } from "../passes/batch_norms.js";
import { widenSums } from "../passes/half.js";
import { exactScatters } from "../passes/scatters.js";
import { shapesFromInputs } from "../passes/shapes.js";
import { simplify } from "../passes/simplify.js";

/** The passes that every emitted graph goes through before it is written. */
export function tidy(emitted: Graph): Graph {
  const spelled = decomposeBatchNorms(emitted);
  widenSums(spelled);
  const graph = exactScatters(spelled);
  // Else an activation is kept through the backward pass only so that its shape can be read.
  shapesFromInputs(graph);
  simplify(graph);
  return graph;
}
