import { randomOperators, type Graph, type Node } from "../ir/graph.js";

/** A pass changes a graph in place and says whether it did. Captures of bodies are alive to every pass. */
export type Pass = (graph: Graph) => { modified: boolean };

/** The graph and every graph within it, inner ones first. */
export function* graphsWithin(graph: Graph): Generator<Graph> {
  for (const node of graph.nodes) for (const body of node.graphs()) yield* graphsWithin(body);
  yield graph;
}

/** Whether equal inputs give equal outputs, as far as can be told: functions and foreign domains may draw at random. */
export const isPure = (node: Node): boolean =>
  (node.domain === "" || node.domain === "com.microsoft") &&
  !randomOperators.has(node.op) &&
  node.graphs().next().done === true;
