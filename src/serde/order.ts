import type { Source } from "./context.js";
import { quote, type GraphProto, type NodeProto } from "./proto.js";

/** Graphs within a node. */
function* graphsOf(node: NodeProto): Generator<GraphProto> {
  for (const a of node.attribute) {
    if (a.g) yield a.g;
    yield* a.graphs;
  }
}

/** Names that a node reads, those that its bodies take from outside included. */
function reads(node: NodeProto, memo: Map<NodeProto, readonly string[]>): readonly string[] {
  const known = memo.get(node);
  if (known) return known;
  const names = new Set(node.input);
  for (const graph of graphsOf(node)) {
    const own = new Set([
      ...graph.input.map((v) => v.name),
      ...graph.initializer.map((t) => t.name),
      ...graph.sparseInitializer.map((s) => s.values?.name ?? ""),
      ...graph.node.flatMap((n) => n.output),
    ]);
    const all = [...graph.node.flatMap((n) => [...reads(n, memo)]), ...graph.output.map((v) => v.name)];
    for (const name of all) if (!own.has(name)) names.add(name);
  }
  names.delete("");
  const result = [...names];
  memo.set(node, result);
  return result;
}

export const describeNode = (node: NodeProto): string =>
  `node ${node.domain ? `${node.domain}::` : ""}${node.opType} ${quote(node.name || (node.output[0] ?? ""))}`;

/** The nodes so that each comes after those that it reads; in the file's order wherever that is possible. */
export function sortNodes(source: Source, nodes: readonly NodeProto[]): readonly NodeProto[] {
  const memo = new Map<NodeProto, readonly string[]>();
  const producers = new Map<string, number>();
  nodes.forEach((node, i) => {
    for (const name of node.output) if (name) producers.set(name, i);
  });
  const needs = nodes.map((node) =>
    reads(node, memo)
      .map((name) => producers.get(name))
      .filter((p) => p !== undefined),
  );
  if (needs.every((ps, i) => ps.every((p) => p < i))) return nodes;
  const sorted: NodeProto[] = [];
  const state = new Uint8Array(nodes.length);
  const [fresh, open, done] = [0, 1, 2];
  for (let start = 0; start < nodes.length; start++) {
    const stack = [start];
    for (let i = stack.at(-1); i !== undefined; i = stack.at(-1)) {
      const node = nodes[i];
      if (!node || state[i] === done) {
        stack.pop();
        continue;
      }
      const missing = (needs[i] ?? []).filter((p) => state[p] !== done);
      if (missing.length === 0) {
        state[i] = done;
        sorted.push(node);
        stack.pop();
        continue;
      }
      source.check(state[i] === fresh, () => `${describeNode(node)} is part of a cycle: it needs its own output`);
      state[i] = open;
      stack.push(...missing.reverse());
    }
  }
  return sorted;
}
