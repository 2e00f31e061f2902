import { check } from "../../util/assert.js";

/** Rows of `width` numbers. */
export interface Rows {
  width: number;
  values: Float32Array | Float64Array;
}

export const splitNames = ["train", "valid", "test"] as const;
export type SplitName = (typeof splitNames)[number];

/** Graphs one after another, in memory. */
export interface GraphSet {
  /** The file or folder that they were read from. */
  path: string;
  /** Nodes of graph g: rows nodeStarts[g] to nodeStarts[g + 1] of the features; edges alike. */
  nodeStarts: Int32Array;
  edgeStarts: Int32Array;
  /** Source and target of each directed edge, by turns, as numbers of nodes within their graph. */
  edges: Int32Array;
  nodeFeatures: Rows;
  /** A row for each edge; null where edges have no features. */
  edgeFeatures: Rows | null;
  /** A row for each graph or for each node; NaN where it is missing. */
  labels: Rows & { of: "graph" | "node" };
  /** Graphs, or nodes where these have the labels, of each split. */
  splits: Record<SplitName, Int32Array>;
}

export const graphCount = ({ nodeStarts }: GraphSet): number => nodeStarts.length - 1;

/** How many examples there are to label: graphs or nodes. */
export const exampleCount = (set: GraphSet): number =>
  set.labels.of === "graph" ? graphCount(set) : (set.nodeStarts.at(-1) ?? 0);

/** Starts of stretches of these lengths, and their common end: one number more than there are lengths. */
export function startsOf(lengths: ArrayLike<number>): Int32Array {
  const starts = new Int32Array(lengths.length + 1);
  for (let i = 0; i < lengths.length; i++) starts[i + 1] = (starts[i] ?? 0) + (lengths[i] ?? 0);
  return starts;
}

/** Throws where an edge has an end that its graph lacks; `where` names edge i. */
export function checkEdges(
  set: Pick<GraphSet, "nodeStarts" | "edgeStarts" | "edges">,
  where: (i: number) => string,
): void {
  const { nodeStarts, edgeStarts, edges } = set;
  for (let g = 0; g + 1 < nodeStarts.length; g++) {
    const nodes = (nodeStarts[g + 1] ?? 0) - (nodeStarts[g] ?? 0);
    for (let k = 2 * (edgeStarts[g] ?? 0); k < 2 * (edgeStarts[g + 1] ?? 0); k++) {
      const node = edges[k] ?? 0;
      check(
        node >= 0 && node < nodes,
        () => `${where(k >> 1)}: an edge to node ${node}, which graph ${g} lacks: it has ${nodes}, from 0 on`,
      );
    }
  }
}

/** `set` with the opposite of every edge right behind it, and the same features: OGB's form of undirected edges. */
export function withInverseEdges(set: GraphSet): GraphSet {
  const { edges, edgeFeatures } = set;
  const both = new Int32Array(2 * edges.length);
  for (let k = 0; k < edges.length; k += 2) {
    const [from, to] = [edges[k] ?? 0, edges[k + 1] ?? 0];
    both.set([from, to, to, from], 2 * k);
  }
  return {
    ...set,
    edges: both,
    edgeStarts: set.edgeStarts.map((start) => 2 * start),
    edgeFeatures: edgeFeatures && { width: edgeFeatures.width, values: twice(edgeFeatures) },
  };
}

/** Every row twice. */
function twice({ width, values }: Rows): Float64Array {
  const result = new Float64Array(2 * values.length);
  for (let at = 0; at < values.length; at += width) {
    const row = values.subarray(at, at + width);
    result.set(row, 2 * at);
    result.set(row, 2 * at + width);
  }
  return result;
}
