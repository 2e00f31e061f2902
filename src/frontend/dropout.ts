import type { Rewrite } from "../ir/copy.js";
import type { Graph, Node, Value } from "../ir/graph.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { constantScalar } from "../ops/shapes.js";
import { UserError, must } from "../util/assert.js";
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
 * mask serves both passes of a step and the HVP, and comes back after a resume. `masksAreRead`: the graph holds gradients,
 * which read the masks, and gets the same ones.
 */
export function findDropouts(graph: Graph, { masksAreRead = false } = {}): DropoutMask[] {
  const masks: DropoutMask[] = [];
  const read = new Set<Value>(graph.outputs);
  for (const node of graph.nodes) for (const v of node.reads()) read.add(v);
  for (const node of graph.nodes) {
    for (const body of node.graphs()) refuseDropouts(graph, body, node);
    if (node.op !== "Dropout") continue;
    const { ratio, training } = dropoutSettings(graph, node);
    if (!training || ratio === 0) continue;
    if (!masksAreRead && node.outputs[1] && read.has(node.outputs[1])) {
      throw new UserError(`${node.label}: the model reads its mask; only its data output can be trained through`);
    }
    const shape = node.input(0).shape;
    if (!shape) throw new UserError(`${node.label}: the rank of its input is not known, so no mask can be drawn`);
    masks.push({ node, name: `random/dropout/${masks.length}`, keep: 1 - ratio, shape });
  }
  return masks;
}

/** Throws for a Dropout in training mode in a body: how many masks it needs is not known. */
function refuseDropouts(graph: Graph, body: Graph, outer: Node): void {
  for (const node of body.nodes) {
    for (const inner of node.graphs()) refuseDropouts(graph, inner, outer);
    if (node.op !== "Dropout") continue;
    const { ratio, training } = dropoutSettings(body, node, graph);
    if (!training || ratio === 0) continue;
    throw new UserError(
      `${node.label} drops at random in a body of ${outer.label}; export it in evaluation mode, or take the dropout out of there`,
    );
  }
}

/** x · mask / keep. */
function emitDropout(b: RuleBuilder, x: Value, mask: Value, keep: number): Value {
  return e.mul(b, x, e.scale(b, e.cast(b, mask, x.dtype), 1 / keep));
}

/** Dropouts by the masks of the batch, and as the identity outside of training mode; other identities go too. */
export function rewriteDropouts(
  b: RuleBuilder,
  dropouts: readonly DropoutMask[],
  batch: { readonly random: ReadonlyMap<string, Value> },
  training: boolean,
): Rewrite {
  const masks = new Map(dropouts.map((d) => [d.node, d]));
  return (node, inputs) => {
    if (node.op !== "Dropout" && node.op !== "Identity") return null;
    const x = must(inputs[0], `${node.label}: input`);
    const known = masks.get(node);
    if (!training || !known) return [x];
    const mask = must(batch.random.get(known.name), known.name);
    return [emitDropout(b, x, mask, known.keep), mask];
  };
}

/** The ratio of a Dropout in `graph`, and whether it is in training mode; as ONNX has it, 0.5 and no. `outer` holds constants too. */
export function dropoutSettings(graph: Graph, node: Node, outer: Graph = graph): { ratio: number; training: boolean } {
  const number = (v: Value | null | undefined): number | undefined =>
    constantScalar(graph, v) ?? constantScalar(outer, v);
  return { ratio: number(node.inputs[1]) ?? 0.5, training: (number(node.inputs[2]) ?? 0) !== 0 };
}
