import { int, Node, tensorType, Value, type Graph } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { normalizeAxis } from "../util/shape.js";
import type { Pass } from "./pass.js";

/** `start` and `end` of a `Slice` of step 1 along one axis, in elements from the front. */
interface Range {
  node: Node;
  axis: number;
  start: number;
  end: number;
}

/**
 * Slices of one value that together cover an axis of known size without overlap (halves for rotary positions, gates of
 * gated units, q, k and v) become one `Split`: its gradient is one `Concat`, where each slice's is a padded copy of the
 * whole. Needs types.
 */
export const slicesToSplits: Pass = (graph) => {
  const groups = new Map<Value, Range[]>();
  for (const node of graph.nodes) {
    const range = rangeOf(graph, node);
    if (range) groups.set(node.input(0), [...(groups.get(node.input(0)) ?? []), range]);
  }
  const splits = new Map<Node, Node>();
  const gone = new Set<Node>();
  for (const [x, ranges] of groups) {
    for (const axis of new Set(ranges.map((r) => r.axis))) {
      const tiles = ranges.filter((r) => r.axis === axis).sort((a, b) => a.start - b.start);
      const first = tiles[0];
      if (!first || tiles.length < 2 || !tiled(tiles, x.dims[axis])) continue;
      const earliest = graph.nodes.find((n) => tiles.some((t) => t.node === n)) ?? first.node;
      splits.set(earliest, splitNode(graph, x, axis, tiles, earliest));
      for (const t of tiles) gone.add(t.node);
    }
  }
  graph.nodes = graph.nodes.flatMap((node) => {
    const split = splits.get(node);
    return split ? [split] : gone.has(node) ? [] : [node];
  });
  return { modified: splits.size > 0 };
};

const tiled = (tiles: readonly Range[], size: unknown): boolean =>
  tiles[0]?.start === 0 && tiles.every((t, i) => t.end === (tiles[i + 1]?.start ?? size));

function splitNode(graph: Graph, x: Value, axis: number, tiles: readonly Range[], at: Node): Node {
  const sizes = new Value(`${at.output().name}/sizes`, tensorType("int64", [tiles.length]));
  graph.initializers.set(sizes, Tensor.int64s(tiles.map((t) => t.end - t.start)));
  const outputs = tiles.map((t) => t.node.output());
  const split = new Node("Split", [x, sizes], outputs, { axis: int(axis) }, {}, "", at.name);
  split.metadata = at.metadata;
  return split;
}

function rangeOf(graph: Graph, node: Node): Range | null {
  if (node.op !== "Slice" || node.domain !== "") return null;
  const x = node.input(0);
  const constant = (i: number): number[] | undefined => {
    const v = node.inputs[i];
    return v ? graph.initializers.get(v)?.numbers() : undefined;
  };
  const [starts, ends, axes = [0], steps = [1]] = [constant(1), constant(2), constant(3), constant(4)];
  const unknown = (i: number): boolean => node.inputs[i] != null && constant(i) === undefined;
  if (!x.shape || starts?.length !== 1 || ends?.length !== 1 || unknown(3) || unknown(4) || steps[0] !== 1) return null;
  const axis = normalizeAxis(axes[0] ?? 0, x.shape.length);
  const size = x.shape[axis];
  if (typeof size !== "number") return null;
  const clamp = (v = 0): number => Math.min(Math.max(v < 0 ? v + size : v, 0), size);
  const [start, end] = [clamp(starts[0]), clamp(ends[0])];
  return start < end ? { node, axis, start, end } : null;
}
