import type { Node, Value } from "../ir/graph.js";
import { type Graph } from "../ir/graph.js";
import { UserError, check } from "../util/assert.js";

/**
 * What ONNX Runtime's artifact generator put into a training graph: loss and gradients, over parameters that are graph
 * inputs, with a buffer for every gradient to be added to.
 */
export interface TrainingPorts {
  /** The first output. */
  loss: Value;
  /** Gradient by parameter. */
  gradients: ReadonlyMap<string, Value>;
  /** Inputs that are no part of the host's accumulation: the batch and the parameters. */
  inputs: readonly Value[];
}

const accumulator = "InPlaceAccumulatorV2";

/**
 * Reads the ports of the training graph of `file`. Throws a UserError for a graph without gradients.
 */
export function trainingPorts(graph: Graph, file: string): TrainingPorts {
  const gradients = new Map<string, Value>();
  const hosts = new Set<Value>();
  for (const node of graph.nodes) {
    if (node.op !== accumulator) continue;
    const [buffer, g, reset] = [node.input(0), node.input(1), node.inputs[2]];
    gradients.set(g.name.replace(/_grad$/, ""), g);
    hosts.add(buffer);
    if (reset) hosts.add(reset);
  }
  if (gradients.size === 0) {
    const names = new Set(graph.inputs.map((v) => v.name));
    for (const o of graph.outputs) {
      const parameter = o.name.replace(/_grad$/, "");
      if (parameter !== o.name && names.has(parameter)) gradients.set(parameter, o);
    }
  }
  check(
    gradients.size > 0,
    `${file}: it computes no gradient of any parameter; make the artifacts with requires_grad, or patch the exported model itself`,
  );
  const loss = graph.outputs[0];
  check(loss, `${file}: it has no outputs; the first one of a training model is its loss`);
  const given = graph.inputs.filter((v) => !graph.initializers.has(v));
  return { loss, gradients, inputs: given.filter((v) => !hosts.has(v) && v.name !== "lazy_reset_grad") };
}

/** The loss of a graph of artifacts, and what it compares. */
export interface FoundLoss {
  /** The input that holds what is to be predicted; null where none is told apart from the model's inputs. */
  labels: Value | null;
  /** What is compared with it; null where that is not one value. */
  predictions: Value | null;
  kind: "cross-entropy" | "mse" | "bce-with-logits" | "other";
  /** The node of a cross-entropy, with its class weights and ignored label. */
  node: Node | null;
}

/** Names that the artifact generator gives to the labels. */
const usual: readonly string[] = ["labels", "target", "targets", "label"];

/** Operators that change the form of labels or of what they are compared with, and no number. */
const transparent: ReadonlySet<string> = new Set(["Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"]);

function behind(value: Value | null | undefined): Value | null {
  let v = value ?? null;
  while (v?.producer && transparent.has(v.producer.op) && v.producer.domain === "") v = v.producer.input(0);
  return v;
}

/**
 * Finds what the loss of `graph` compares. `inputs` are those that a batch feeds; `named` is the one that the user says are
 * the labels.
 */
export function findLossParts(
  graph: Graph,
  loss: Value,
  inputs: readonly Value[],
  named: string | undefined,
): FoundLoss {
  const chosen = named === undefined ? null : inputs.find((v) => v.name === named);
  if (chosen === undefined) {
    throw new UserError(
      `--labels "${named ?? ""}": the model has no such input; it has ${inputs.map((v) => v.name).join(", ")}`,
    );
  }
  const entropy = loss.producer?.op.startsWith("SoftmaxCrossEntropyLoss") ? loss.producer : null;
  const compared = entropy ? behind(entropy.inputs[1]) : null;
  const labels =
    chosen ??
    inputs.find((v) => v === compared) ??
    usual.map((name) => inputs.find((v) => v.name === name)).find((v) => v !== undefined) ??
    null;
  if (!labels) return { labels: null, predictions: null, kind: "other", node: entropy };
  if (entropy) {
    const predictions = entropy.input(0);
    const kind = entropy.string("reduction", "mean") === "mean" ? "cross-entropy" : "other";
    return { labels, predictions, kind, node: entropy };
  }
  const frontier = comparedWith(graph, labels, loss);
  const logits = binaryLogits(frontier);
  if (logits) return { labels, predictions: logits, kind: "bce-with-logits", node: null };
  const predictions = frontier.length === 1 ? (frontier[0] ?? null) : null;
  return { labels, predictions, kind: isSquared(loss) ? "mse" : "other", node: null };
}

/** Values that do not depend on the labels and are read by a node that does. */
function comparedWith(graph: Graph, labels: Value, loss: Value): Value[] {
  const dependent = new Set<Value>([labels]);
  const found = new Set<Value>();
  const constant = new Set<Value>(graph.initializers.keys());
  for (const node of graph.nodes) {
    const reads = [...node.reads()];
    if (!reads.some((v) => dependent.has(v))) continue;
    for (const o of node.outputs) if (o) dependent.add(o);
    for (const v of reads) if (!dependent.has(v) && !constant.has(v) && v.producer?.op !== "Constant") found.add(v);
  }
  return dependent.has(loss) ? [...found] : [];
}

/** The x of a loss that reads log σ(x) and log(1 − σ(x)). */
function binaryLogits(frontier: readonly Value[]): Value | null {
  if (frontier.length !== 2) return null;
  const inner = frontier.map((v) => (v.producer?.op === "Log" ? v.producer.input(0) : null));
  const sigmoid = inner.find((v) => v?.producer?.op === "Sigmoid")?.producer;
  const rest = inner.find((v) => v?.producer?.op === "Sub")?.producer;
  return sigmoid && rest?.inputs[1] === sigmoid.output() ? sigmoid.input(0) : null;
}

/** mean((x − y)²), the square as a Pow or a product. */
function isSquared(loss: Value): boolean {
  const mean = loss.producer;
  const square = mean?.op === "ReduceMean" ? mean.input(0).producer : null;
  const inner = square?.inputs[0]?.producer;
  const squares = square?.op === "Pow" || (square?.op === "Mul" && square.inputs[0] === square.inputs[1]);
  return squares && inner?.op === "Sub";
}
