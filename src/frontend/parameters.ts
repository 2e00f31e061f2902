import type { Graph, Node, Value } from "../ir/graph.js";
import { Ways, activeValues, carriesDerivatives, deadEnds } from "../autodiff/active.js";
import { UserError } from "../util/assert.js";
import { modulePath } from "./scopes.js";

/** A tensor that training may change. */
export interface Parameter {
  /** Its name in packages, checkpoints and messages. */
  name: string;
  /** The initializer that it is in the source graph. */
  value: Value;
  initializer: string;
  /** The exporter stored the transpose of what the name says (a folded `Transpose`). */
  transposed: boolean;
  trainable: boolean;
  group: string;
}

/** Constants that exporters keep under a module's name though nothing learns them. */
const buffers =
  /(^|[._/])(running_mean|running_var|num_batches_tracked|inv_freq|original_inv_freq|masked_bias|attention_mask|position_ids|token_type_ids|pe|embed_scale)$/;

/** Names that exporters invent for tensors that lost their own, and for values in a module's code. */
export const anonymous =
  /^(onnx::\w+|val_\d+|_?constant\w*|_val_\d+|scalar_tensor\w*|\d+|ortshared_.*|const\w*|\/(.+\/)?\w+_output_\d+)$/i;

/** Initializers of the batch statistics: inputs 3 and 4 of BatchNormalization. */
function statistics(nodes: readonly Node[]): Set<Value> {
  const found = new Set<Value>();
  for (const n of nodes) {
    if (n.op !== "BatchNormalization") continue;
    for (const v of [n.inputs[3], n.inputs[4]]) if (v) found.add(v);
  }
  return found;
}

/**
 * The initializers of `graph` that training may change: floating point, on a differentiable way to `outputs`, not a
 * buffer, and either named by a module or a weight that an exporter folded into an anonymous tensor: a transpose, or a
 * batch norm into the convolution before it. Such a weight, and the bias of such a convolution, gets the name that its
 * neighbours and its node's path tell. Tied weights are one initializer and stay one parameter.
 */
export function findParameters(graph: Graph, outputs: readonly Value[]): Parameter[] {
  const ways = new Ways(graph.nodes, outputs);
  const nodes = [...nodesWithin(ways, ways.nodes)];
  const candidates = [...graph.initializers.keys()].filter(carriesDerivatives);
  const consumers = new Map<Value, Node[]>();
  for (const n of nodes) {
    for (const v of n.inputs) {
      if (!v) continue;
      const others = consumers.get(v);
      if (others) others.push(n);
      else consumers.set(v, [n]);
    }
  }
  const reaching = reachingOutputs(ways, candidates, outputs);
  const excluded = statistics(nodes);
  const taken = new Set([...graph.initializers.keys()].map((v) => v.name));
  const parameters: Parameter[] = [];
  for (const value of candidates) {
    if (!reaching.has(value) || excluded.has(value) || buffers.test(value.name)) continue;
    let name = biasName(value, consumers) ?? value.name;
    let transposed = false;
    if (anonymous.test(name)) {
      const recovered = recoverName(value, consumers);
      if (!recovered) continue;
      transposed = recovered.transposed;
      name = recovered.name;
      for (let i = 1; taken.has(name); i++) name = `${recovered.name}.${i}`;
      taken.add(name);
    } else if (value.dims.length === 0 && !/[._/](weight|bias|scale|gamma|alpha|temperature|logit_scale)$/.test(name)) {
      continue;
    }
    parameters.push({ name, value, initializer: value.name, transposed, trainable: true, group: "default" });
  }
  return parameters;
}

/** The nodes on the way, those in bodies among them. */
function* nodesWithin(ways: Ways, nodes: readonly Node[]): Generator<Node> {
  for (const node of ways.among(nodes)) {
    yield node;
    for (const body of node.graphs()) yield* nodesWithin(ways, body.nodes);
  }
}

/** Which of `candidates` lie on a differentiable way to one of `outputs`. */
function reachingOutputs(ways: Ways, candidates: readonly Value[], outputs: readonly Value[]): ReadonlySet<Value> {
  const active = activeValues(ways, candidates, "vjp");
  const ends = outputs.filter((o) => active.has(o));
  return new Ways(ways.nodes, ends, { has: (v) => !active.has(v) }).reached;
}

/** `Cast "/cast" (which gives int64)`: nodes on the way to `outputs` at which derivatives end, if so they cannot reach any. */
export function deadEndsBefore(graph: Graph, outputs: readonly Value[]): string[] {
  const ways = new Ways(graph.nodes, outputs);
  const active = activeValues(ways, [...graph.initializers.keys()].filter(carriesDerivatives), "vjp");
  if (outputs.some((o) => active.has(o))) return [];
  const kind = (v: Value | null | undefined): string => (v?.type?.kind === "tensor" ? v.type.dtype : "no tensor");
  return deadEnds(ways, active)
    .filter((n) => n.op !== "Shape" && n.op !== "Size")
    .slice(0, 5)
    .map((n) => `${n.label} (which gives ${kind(n.outputs[0])})`);
}

/**
 * Throws a UserError that names the nodes at which derivatives end, where that is why `outputs` have no parameters:
 * integers, strings and comparisons are constant almost everywhere.
 */
export function refuseDeadEnds(graph: Graph, outputs: readonly Value[]): void {
  const ends = deadEndsBefore(graph, outputs);
  if (ends.length === 0) return;
  throw new UserError(
    `no parameter can be trained: on the way to "${outputs[0]?.name ?? ""}" derivatives end at ${ends.join(", ")}; ` +
      `take an output before it`,
  );
}

/** `x.bias` for `x.weight_bias`, which torch.export makes where it folds a batch norm into the convolution of `x.weight`. */
function biasName(value: Value, consumers: ReadonlyMap<Value, Node[]>): string | null {
  const [, path] = /^(.+)\.weight_bias$/.exec(value.name) ?? [];
  if (path === undefined) return null;
  const isBias = ({ op, inputs }: Node): boolean =>
    (op === "Conv" || op === "ConvTranspose") && inputs[2] === value && inputs[1]?.name === `${path}.weight`;
  return consumers.get(value)?.some(isBias) ? `${path}.bias` : null;
}

/** The module path of a weight that lost its name: from its bias, else from the path of the node that reads it. */
function recoverName(
  value: Value,
  consumers: ReadonlyMap<Value, Node[]>,
): { name: string; transposed: boolean } | null {
  for (const node of consumers.get(value) ?? []) {
    const position = node.inputs.indexOf(value);
    const path = modulePath(node);
    const isConvolution = node.op === "Conv" || node.op === "ConvTranspose";
    if (isConvolution && position > 0 && path) {
      return { name: `${path}.${position === 1 ? "weight" : "bias"}`, transposed: false };
    }
    if (value.dims.length < 2) continue;
    const isProduct = node.op === "MatMul" || node.op === "Gemm";
    if (!isProduct || position !== 1) continue;
    const transposed = node.op === "MatMul" || node.int("transB", 0) === 0;
    for (const next of consumers.get(node.output()) ?? []) {
      if (next.op !== "Add") continue;
      const bias = next.inputs.find((v) => v?.name.endsWith(".bias"));
      if (bias) return { name: `${bias.name.slice(0, -".bias".length)}.weight`, transposed };
    }
    if (path) return { name: `${path}.weight`, transposed };
  }
  return null;
}

/** Marks what `train` and `freeze` (name globs) select; throws where nothing is left to train. */
export function selectTrainable(
  parameters: readonly Parameter[],
  matches: { train?: (name: string) => boolean; freeze?: (name: string) => boolean },
): void {
  for (const p of parameters) {
    p.trainable = (matches.train?.(p.name) ?? true) && !(matches.freeze?.(p.name) ?? false);
  }
  if (parameters.length === 0) {
    throw new UserError(
      "the model has no trainable parameter: no floating-point initializer reaches the loss; export it with its weights inside",
    );
  }
  if (!parameters.some((p) => p.trainable)) {
    throw new UserError(
      `no parameter is left to train: all ${parameters.length} are frozen; loosen --freeze or --train (names look like "${parameters[0]?.name ?? ""}")`,
    );
  }
}
