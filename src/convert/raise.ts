import type { Graph, Node, Value } from "../ir/graph.js";
import { check } from "../util/assert.js";
import { Rewriter, type Converter, type Names } from "./rewriter.js";
import { steps } from "./steps.js";

/** Opsets that can be raised, or lowered, to the working opset. */
export const oldestOpset = 6;
export const newestOpset = 28;

/** The opset of the default domain, checked; undefined where a model has nothing of that domain. */
export function opsetOf(opsets: ReadonlyMap<string, number>): number | undefined {
  const opset = opsets.get("");
  check(
    opset === undefined || (opset >= oldestOpset && opset <= newestOpset),
    () =>
      `the model is of opset ${opset ?? ""}; ${oldestOpset} to ${newestOpset} can be read: export it at opset 17 or 18`,
  );
  return opset;
}

/** Raises the nodes of `graph`, and of graphs within it, from one opset to a later one. */
export function raise(graph: Graph, names: Names, from: number, to: number): void {
  for (let opset = from + 1; opset <= to; opset++) {
    const step = steps.get(opset);
    if (step) convertNodes(graph, names, (node) => step[node.op]);
  }
}

/** Converts the nodes of a domain, in `graph` and in graphs within it. */
export function convertNodes(
  graph: Graph,
  names: Names,
  converterOf: (node: Node) => Converter | undefined,
  { domain = "", whole = graph }: { domain?: string; whole?: Graph } = {},
): void {
  for (const node of graph.nodes)
    for (const body of Object.values(node.bodies)) convertNodes(body, names, converterOf, { domain, whole });
  const inDomain = (node: Node): Converter | undefined => (node.domain === domain ? converterOf(node) : undefined);
  if (!graph.nodes.some((n) => inDomain(n))) return;
  let reads: Set<Value> | null = null;
  const isRead = (v: Value): boolean => (reads ??= new Set(allReads(whole))).has(v);
  new Rewriter(graph, names, isRead).run(inDomain);
}

function* allReads(graph: Graph): Generator<Value> {
  yield* graph.outputs;
  for (const node of graph.nodes) {
    yield* node.reads();
    for (const body of Object.values(node.bodies)) yield* allReads(body);
  }
}
