import { instantiate } from "../ir/copy.js";
import type { Graph, Node, Value } from "../ir/graph.js";
import { newBuilder } from "../ops/builder.js";
import { alongChannels } from "../ops/convolution.js";
import * as e from "../ops/emit.js";
import { batchAxes, trainsBatchNorm } from "../ops/BatchNormalization.js";
import { standardize } from "../ops/standardize.js";
import { must } from "../util/assert.js";

/**
 * `graph` with every BatchNormalization in training mode spelled out in primitive operators: providers other than the
 * CPU's refuse that mode, or compute it wrong. What the derivatives have emitted already is shared, so this is the last
 * step before a graph is simplified and written. A graph without such a node is returned as it is.
 */
export function decomposeBatchNorms(graph: Graph): Graph {
  if (!graph.nodes.some(trainsBatchNorm)) return graph;
  const b = newBuilder(graph.name);
  const inputs = new Map(graph.inputs.map((v) => [v, b.input(v.name, must(v.type, `the type of "${v.name}"`))]));
  const copies = instantiate(b, graph, inputs, graph.outputs, (node, read) =>
    trainsBatchNorm(node) ? b.scope(node.name, () => decompose(b, node, read)) : null,
  );
  for (const output of graph.outputs) b.output(must(copies.get(output), output.name), output.name);
  return b.graph;
}

/** y, and m·old + (1 − m)·(mean, variance) of the batch: running statistics as ONNX has them, the variance over n. */
function decompose(b: e.B, node: Node, read: readonly (Value | null)[]): (Value | null)[] {
  const [x, scale, bias, ...old] = read.map((v) => must(v, `${node.label}: an input`));
  if (!x || !scale || !bias) return [];
  const axes = batchAxes(x);
  const p = standardize(b, x, axes, node.float("epsilon", 1e-5));
  const y = e.add(b, e.mul(b, p.normalized, alongChannels(b, scale, x)), alongChannels(b, bias, x));
  const momentum = node.float("momentum", 0.9);
  const batch = [e.reduceMean(b, x, axes), e.reduceMean(b, e.square(b, p.centered), axes)];
  const moved = batch.map((statistic, i) => {
    if (!node.outputs[i + 1]) return null;
    const kept = e.scale(b, must(old[i], `${node.label}: its statistics`), momentum);
    return e.add(b, kept, e.scale(b, e.squeeze(b, statistic, axes), 1 - momentum));
  });
  return [y, ...moved];
}
