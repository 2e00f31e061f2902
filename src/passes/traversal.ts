import type { Graph, Node } from "../ir/graph.js";

/** The nodes that ONNX Runtime runs, by position in the file, and what each needs of the others. */
export interface Network {
  readonly nodes: readonly Node[];
  /** Nodes whose outputs a node reads, captures of its bodies included. */
  readonly needs: readonly (readonly number[])[];
  /** Nodes that read a node's outputs. */
  readonly feeds: readonly (readonly number[])[];
  /** Nodes that feed no other. */
  readonly leaves: readonly number[];
}

/** Constant nodes are left out: the runtime makes initializers of them when it loads a model. */
export function networkOf(graph: Graph): Network {
  const nodes = graph.nodes.filter((n) => !(n.op === "Constant" && n.domain === ""));
  const index = new Map(nodes.map((n, i) => [n, i]));
  const needs: number[][] = [];
  const feeds: number[][] = nodes.map(() => []);
  nodes.forEach((node, i) => {
    const from = new Set<number>();
    for (const v of node.reads()) {
      const producer = v.producer ? index.get(v.producer) : undefined;
      if (producer !== undefined) from.add(producer);
    }
    needs.push([...from]);
    for (const p of from) feeds[p]?.push(i);
  });
  const leaves = nodes.map((_, i) => i).filter((i) => feeds[i]?.length === 0);
  return { nodes, needs, feeds, leaves };
}

/**
 * A depth-first walk against the edges, without recursion: `leaves` in the order given; `inputs` gives the unvisited
 * needs of a node in the order in which they are to be walked; `leave` is called for each node after its needs.
 */
export function walk(
  size: number,
  leaves: readonly number[],
  inputs: (node: number, visited: Uint8Array) => readonly number[],
  leave: (node: number) => void,
  visited: Uint8Array = new Uint8Array(size),
): void {
  const stack = [...leaves].reverse();
  while (stack.length > 0) {
    const entry = stack.pop() ?? 0;
    if (entry < 0) {
      leave(~entry);
      continue;
    }
    if (visited[entry]) continue;
    visited[entry] = 1;
    stack.push(~entry);
    const next = inputs(entry, visited);
    for (let i = next.length - 1; i >= 0; i--) stack.push(next[i] ?? 0);
  }
}

/** The order in which the runtime would run the network if the nodes stood in the file by increasing `rank`. */
export function orderOf(network: Network, rank: Int32Array): number[] {
  const later = (a: number, b: number): number => (rank[b] ?? 0) - (rank[a] ?? 0);
  const order: number[] = [];
  walk(
    network.nodes.length,
    [...network.leaves].sort(later),
    (node, visited) => (network.needs[node] ?? []).filter((p) => !visited[p]).sort(later),
    (node) => order.push(node),
  );
  return order;
}

/**
 * The order in which ONNX Runtime runs the nodes of `graph` at optimization level `disabled`: a reverse depth-first
 * search from the last leaf of the file to the first, at each node from its last input node to its first.
 */
export function traversal(graph: Graph): Node[] {
  const network = networkOf(graph);
  const order = orderOf(
    network,
    Int32Array.from(network.nodes, (_, i) => i),
  );
  return order.map((i) => network.nodes[i]).filter((n) => n !== undefined);
}
