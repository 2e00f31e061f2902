import type { Graph, Node, Value } from "../ir/graph.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { constantScalar } from "../ops/shapes.js";
import { UserError } from "../util/assert.js";
import type { Dim } from "../util/shape.js";

/** A Dropout in training mode, and the keep mask that training feeds it: bool, true with probability `keep`. */
export interface DropoutMask {
  node: Node;
  /** Name of the graph input. */
  name: string;
  keep: number;
  shape: readonly Dim[];
}

/**
 * The Dropouts of `graph` that are in training mode, in order. Their masks are inputs of the training graphs: the same
 * mask serves both passes of a step and the HVP, and comes back after a resume.
 */
export function findDropouts(graph: Graph): DropoutMask[] {
  const masks: DropoutMask[] = [];
  const read = new Set<Value>(graph.outputs);
  for (const node of graph.nodes) for (const v of node.reads()) read.add(v);
  for (const node of graph.nodes) {
    if (node.op !== "Dropout") continue;
    const { ratio, training } = dropoutSettings(graph, node);
    if (!training || ratio === 0) continue;
    if (node.outputs[1] && read.has(node.outputs[1])) {
      throw new UserError(`${node.label}: the model reads its mask; only its data output can be trained through`);
    }
    const shape = node.input(0).shape;
    if (!shape) throw new UserError(`${node.label}: the rank of its input is not known, so no mask can be drawn`);
    masks.push({ node, name: `random/dropout/${masks.length}`, keep: 1 - ratio, shape });
  }
  return masks;
}

/** x · mask / keep. */
export function emitDropout(b: RuleBuilder, x: Value, mask: Value, keep: number): Value {
  return e.mul(b, x, e.scale(b, e.cast(b, mask, x.dtype), 1 / keep));
}

/** The ratio of a Dropout, and whether it is in training mode; as ONNX has it, 0.5 and no. */
export function dropoutSettings(graph: Graph, node: Node): { ratio: number; training: boolean } {
  const ratio = constantScalar(graph, node.inputs[1]) ?? 0.5;
  return { ratio, training: (constantScalar(graph, node.inputs[2]) ?? 0) !== 0 };
}
