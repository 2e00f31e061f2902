import { Value, type Graph, type Node } from "../ir/graph.js";
import { trainsBatchNorm } from "../ops/BatchNormalization.js";
import type { RuleBuilder } from "../ops/rule.js";

/** A tensor that training moves without a gradient: a running statistic of batch norms in training mode. */
export interface Buffer {
  /** Its name in packages and checkpoints: that of its initializer. */
  name: string;
  /** The initializer that it is in the source graph. */
  value: Value;
  /** Its new value in the source graph: what the last norm that moves it gives. */
  moved: Value;
}

/** Position of a running statistic among the inputs of a batch norm, by that among the outputs. */
const inputOf = (output: number): number => output + 2;

/**
 * The running statistics of the batch norms of `graph` that are in training mode, in order. Norms are chained where
 * several move one statistic (a module that is called twice), as PyTorch moves it.
 */
export function findBuffers(graph: Graph): Buffer[] {
  const buffers = new Map<Value, Buffer>();
  for (const node of graph.nodes) {
    if (!trainsBatchNorm(node)) continue;
    for (const output of [1, 2]) {
      const old = node.input(inputOf(output));
      const root = graph.initializers.has(old) ? old : [...buffers.values()].find((b) => b.moved === old)?.value;
      if (!root) continue;
      const before = buffers.get(root)?.moved;
      if (before) node.inputs[inputOf(output)] = before;
      buffers.set(root, { name: root.name, value: root, moved: movedOutput(node, output, old) });
    }
  }
  return [...buffers.values()];
}

/** The output of a batch norm that is the new value of `old`; exporters may leave it out. */
function movedOutput(node: Node, output: number, old: Value): Value {
  const known = node.outputs[output];
  if (known) return known;
  const value = new Value(`${old.name}::moved`, old.type);
  value.producer = node;
  node.outputs[output] = value;
  return value;
}

/** A batch norm by its running statistics, which it leaves as they are: what one in training mode is in evaluation mode. */
export function emitEvaluationNorm(b: RuleBuilder, node: Node, inputs: readonly (Value | null)[]): (Value | null)[] {
  const epsilon = node.attributes["epsilon"];
  const options = { name: node.name || node.op, types: [node.output().type] };
  const y = b.op("BatchNormalization", inputs, epsilon ? { epsilon } : {}, options);
  return [y, inputs[inputOf(1)] ?? null, inputs[inputOf(2)] ?? null];
}
