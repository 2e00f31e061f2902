import { instantiate } from "../ir/copy.js";
import { tensorType, type Graph, type Node, type Value } from "../ir/graph.js";
import { newBuilder } from "../ops/builder.js";
import * as e from "../ops/emit.js";
import { reshapedDims } from "../ops/shapes.js";
import { must } from "../util/assert.js";
import { graphsWithin } from "./pass.js";

const adds = (node: Node): boolean =>
  node.op === "ScatterND" &&
  node.domain === "" &&
  node.string("reduction") === "add" &&
  typeof node.input(1).shape?.at(-1) === "number" &&
  node.input(0).shape !== null;

/**
 * `graph` with every ScatterND that adds written as a ScatterElements: the CPU kernel of the former (onnxruntime 1.30) adds in
 * several threads at once and loses updates where rows repeat, as the tokens of a batch do. A graph without such a node is
 * returned as it is.
 */
export function exactScatters(graph: Graph): Graph {
  if (![...graphsWithin(graph)].some((g) => g.nodes.some(adds))) return graph;
  const b = newBuilder(graph.name);
  const inputs = new Map(graph.inputs.map((v) => [v, b.input(v.name, must(v.type, `the type of "${v.name}"`))]));
  const copies = instantiate(b, graph, inputs, graph.outputs, (node, read, within) =>
    adds(node) ? [scatterRows(within, node, read)] : null,
  );
  for (const output of graph.outputs) b.output(must(copies.get(output), output.name), output.name);
  return b.graph;
}

/**
 * Rows added at index tuples of m numbers: along the first axis of the data, once its first m axes are one and every row of
 * the updates has the number of its place there.
 */
function scatterRows(b: e.B, node: Node, read: readonly (Value | null)[]): Value {
  const [data, indices, updates] = [0, 1, 2].map((i) => must(read[i], `${node.label}: input ${i}`)) as [
    Value,
    Value,
    Value,
  ];
  return b.scope(node.name || node.op, () => {
    const m = Number(indices.dims.at(-1));
    const rest = data.dims.slice(m);
    const rows = flattened(b, updates, indices.dims.length - 1);
    const all = m === 1 ? data : flattened(b, data, m);
    const flat = e.reshape(b, m === 1 ? indices : linear(b, data, indices, m), [-1]);
    const axes = rest.map((_, i) => i + 1);
    const places = axes.length > 0 ? e.unsqueeze(b, flat, axes) : flat;
    const sum = e.scatterElementsAdd(b, all, e.expandLike(b, places, rows), rows, 0);
    return m === 1 ? sum : e.reshapeLike(b, sum, data);
  });
}

/** `x` with its first `count` axes as one. */
function flattened(b: e.B, x: Value, count: number): Value {
  if (count === 1) return x;
  const rest = Array.from({ length: x.dims.length - count }, (_, i) => e.dimOf(b, x, count + i));
  const shape = e.joinConstants(b, [b.int64s([-1]), ...rest]);
  return e.reshapeTo(b, x, shape, tensorType(x.dtype, reshapedDims(x.shape, [-1, ...x.dims.slice(count)])));
}

/** The place of each index tuple among the first `m` axes of `data` in row-major order; negative numbers count from the end. */
function linear(b: e.B, data: Value, indices: Value, m: number): Value {
  const extents = Array.from({ length: m }, (_, i) => e.dimOf(b, data, i));
  const strides = extents.map((_, i) => extents.slice(i + 1).reduce((p, q) => e.mul(b, p, q), b.int64s([1])));
  const positive = e.where(
    b,
    e.less(b, indices, b.scalar(0, "int64")),
    e.add(b, indices, e.joinConstants(b, extents)),
    indices,
  );
  return e.reduceSum(b, e.mul(b, positive, e.joinConstants(b, strides)), [-1], false);
}
