import type { Graph, Node, Value } from "../ir/graph.js";
import { readersOf, wayToProduct } from "./dropout_audit.js";
import type { Place } from "./places.js";
import { modulePath } from "./scopes.js";

/** A value of a transformer that its architecture drops out, and the nodes that are to read what is left of it. */
export interface Site {
  place: Place;
  value: Value;
  readers: readonly Node[];
  /** The module that the value comes from, as far as the exporter told. */
  path: string;
}

interface Linear {
  node: Node;
  /** What it multiplies with its weight. */
  input: Value;
}

interface Residual {
  add: Node;
  /** What the branch is added to. */
  stream: Value;
  branch: Value;
  linear: Linear;
  attends: boolean;
}

/** What may stand between a linear layer's product and the sum that its result goes into: bias, scale, shapes. */
const passing = new Set(["Add", "Mul", "Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose"]);

/**
 * Finds, in graph order, where the blocks of a transformer drop out in training: behind the embeddings (their norm where
 * they have one, before a projection to the width of the layers), on the probabilities of attention, on the outputs of
 * attention and feed-forward layers before they are added to the residual stream, and before the classifier.
 */
export function findSites(graph: Graph): Site[] {
  const readers = readersOf(graph);
  const readersAt = (v: Value): Node[] => readers.get(v) ?? [];
  const attentions = new Set<Node>(
    graph.nodes.filter((n) => n.op === "Softmax" && n.domain === "" && wayToProduct(readers, n.output())),
  );
  if (attentions.size === 0) return [];
  const residuals = graph.nodes.flatMap((node) => residualAt(graph, node, attentions));
  const sites: Site[] = [];
  const first = residuals.find((r) => r.attends);
  if (first) {
    const projection = linearOf(graph, first.stream);
    const value = projection ? projection.input : first.stream;
    sites.push({ place: "embeddings", value, readers: readersAt(value), path: pathOf(value) });
  }
  for (const node of attentions)
    sites.push({ place: "attention", value: node.output(), readers: readersAt(node.output()), path: modulePath(node) });
  for (const { add, branch, linear, attends } of residuals) {
    const place = attends ? "attention-output" : "feed-forward";
    sites.push({ place, value: branch, readers: [add], path: modulePath(linear.node) });
  }
  for (const output of graph.outputs) {
    const last = linearOf(graph, output);
    if (!last) continue;
    // Heads of two layers: RoBERTa's and ELECTRA's drop out before both, BERT's pooler does not.
    const dense = beforeActivation(graph, last.input);
    if (dense && /(^|\.)classifier\.dense$/.test(modulePath(dense.node)))
      sites.push({ place: "classifier", value: dense.input, readers: [dense.node], path: modulePath(dense.node) });
    sites.push({ place: "classifier", value: last.input, readers: [last.node], path: modulePath(last.node) });
  }
  const order = new Map(graph.nodes.map((n, i) => [n, i]));
  const position = (s: Site): number => (s.value.producer ? (order.get(s.value.producer) ?? 0) : -1);
  return sites.sort((a, b) => position(a) - position(b));
}

const pathOf = (value: Value): string => (value.producer ? modulePath(value.producer) : "");

/** The node where it adds the result of a linear layer to what that layer was computed from. */
function residualAt(graph: Graph, add: Node, attentions: ReadonlySet<Node>): Residual[] {
  if (add.op !== "Add" || add.domain !== "") return [];
  const operands = [add.input(0), add.input(1)];
  if (operands.some((v) => v.producer === null)) return [];
  for (const [i, branch] of operands.entries()) {
    const stream = operands[1 - i];
    const linear = linearOf(graph, branch);
    if (!stream || !linear) continue;
    const between = nodesBetween(stream, linear.input);
    if (between) return [{ add, stream, branch, linear, attends: between.some((n) => attentions.has(n)) }];
  }
  return [];
}

/** The linear layer whose result `value` is, but for a bias, a scale and its shape. */
function linearOf(graph: Graph, value: Value): Linear | null {
  for (let v: Value | undefined = value; v?.producer;) {
    const node: Node = v.producer;
    if (node.domain !== "") return null;
    if (node.op === "MatMul" || node.op === "Gemm") {
      return isWeight(graph, node.input(1)) ? { node, input: node.input(0) } : null;
    }
    if (!passing.has(node.op)) return null;
    const elementwise = node.op === "Add" || node.op === "Mul";
    const varying = node.inputs.filter((x) => x !== null && !isWeight(graph, x)) as Value[];
    if (elementwise && varying.length !== 1) return null;
    v = elementwise ? varying[0] : node.input(0);
  }
  return null;
}

/** A parameter, or one that is turned first. */
const isWeight = (graph: Graph, v: Value): boolean =>
  graph.initializers.has(v) || (v.producer?.op === "Transpose" && graph.initializers.has(v.producer.input(0)));

const activations = new Set(["Tanh", "Relu", "Gelu", "Erf", "Mul", "Div", "Add"]);

/** The linear layer whose activation `value` is: of a Tanh, a ReLU, or a GELU in whatever form. */
function beforeActivation(graph: Graph, value: Value): Linear | null {
  for (let v: Value = value, steps = 0; v.producer && steps < 8; steps++) {
    const node: Node = v.producer;
    const linear = linearOf(graph, v);
    if (linear) return linear;
    if (!activations.has(node.op)) return null;
    const next: Value | undefined = node.inputs.find((x): x is Value => x !== null && x.producer !== null);
    if (!next) return null;
    v = next;
  }
  return null;
}

/** The nodes by which `to` is computed from `from`, and from other things; null where `from` has no part in it. */
function nodesBetween(from: Value, to: Value): Node[] | null {
  const found = new Set<Node>();
  let reached = false;
  const stack = [to];
  for (let v = stack.pop(); v; v = stack.pop()) {
    if (v === from) {
      reached = true;
      continue;
    }
    const node = v.producer;
    if (!node || found.has(node)) continue;
    found.add(node);
    stack.push(...node.reads());
  }
  return reached ? [...found] : null;
}
