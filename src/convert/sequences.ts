import { int, Node, tensorType, Value, type Attributes, type Graph, type Model } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { must } from "../util/assert.js";
import { Names } from "./rewriter.js";

/** Operators whose outputs are sequences or optionals, not tensors. */
export const sequenceOps: ReadonlySet<string> = new Set([
  "Optional",
  "SequenceConstruct",
  "SequenceEmpty",
  "SequenceErase",
  "SequenceInsert",
  "SequenceMap",
  "SplitToSequence",
]);

/**
 * Replaces sequences of which a graph only takes single elements by these elements, in place. A `SplitToSequence` by
 * sizes becomes a `Split`; one into chunks of equal size (how `torch.export` writes `chunk`) becomes a `Slice` per element
 * taken, because their number is not known; `SequenceConstruct` becomes its inputs; the element of an optional becomes what it
 * is made of. Sequences that are used in other
 * ways stay. Constants have to be initializers.
 */
export function unpackSequences(model: Model): void {
  unpack(model.graph, new Names(model));
}

function unpack(graph: Graph, names: Names): void {
  const uses = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const body of node.graphs()) unpack(body, names);
    for (const v of node.reads()) uses.set(v, [...(uses.get(v) ?? []), node]);
    takeOptional(node);
  }
  const replaced = new Map<Node, Node[]>();
  const elements = new Map<Value, Value>();
  for (const node of graph.nodes) {
    if (node.domain !== "" || !(node.op === "SplitToSequence" || node.op === "SequenceConstruct")) continue;
    const takers = uses.get(node.output()) ?? [];
    const indices = takers.map((taker) =>
      taker.op === "SequenceAt" ? numbers(graph, taker.inputs[1])?.[0] : undefined,
    );
    const known = indices.filter((i) => i !== undefined);
    if (graph.outputs.includes(node.output()) || known.length < takers.length) continue;
    const parts =
      node.op === "SplitToSequence" ? split(graph, names, node, known) : { nodes: [], at: elementsOf(node) };
    const chosen = known.map((i) => parts?.at(i));
    if (!parts || chosen.some((part) => !part)) continue;
    replaced.set(node, parts.nodes);
    takers.forEach((taker, k) => {
      elements.set(taker.output(), must(chosen[k], taker.label));
      replaced.set(taker, []);
    });
  }
  if (replaced.size === 0) return;
  graph.nodes = graph.nodes.flatMap((node) => replaced.get(node) ?? [node]);
  rename(graph, elements);
}

/** Readers of an element read the part; where it is an output of the graph, an Identity gives the part its name. */
function rename(graph: Graph, elements: ReadonlyMap<Value, Value>): void {
  for (const node of graph.nodes) {
    node.inputs = node.inputs.map((v) => (v && elements.get(v)) ?? v);
    for (const body of node.graphs()) rename(body, elements);
  }
  for (const output of graph.outputs) {
    const part = elements.get(output);
    if (part) graph.nodes.push(new Node("Identity", [part], [output], {}, {}, "", `${output.name}/Identity`));
  }
}

/** What is taken of an optional that is there, or of what was no optional at all, is the thing itself. */
function takeOptional(node: Node): void {
  if (node.domain !== "" || node.op !== "OptionalGetElement") return;
  const given = node.input(0);
  const inner = given.producer?.op === "Optional" ? given.producer.inputs[0] : null;
  if (!inner && given.type?.kind !== "tensor") return;
  node.op = "Identity";
  node.inputs = [inner ?? given];
}

interface Parts {
  nodes: Node[];
  at: (index: number) => Value | null | undefined;
}

const elementsOf =
  (node: Node): Parts["at"] =>
  (i) =>
    node.inputs.at(i);

/** The elements of a `SplitToSequence` at `indices`, and the nodes that compute them; null where they cannot be told. */
function split(graph: Graph, names: Names, node: Node, indices: readonly number[]): Parts | null {
  const x = node.input(0);
  const axis = node.int("axis", 0);
  const base = node.output().name;
  const value = (part: string): Value => new Value(names.unique(`${base}/${part}`), null);
  const int64s = (part: string, content: readonly number[]): Value => {
    const v = new Value(names.unique(`${base}/${part}`), tensorType("int64", [content.length]));
    graph.initializers.set(v, Tensor.int64s(content));
    return v;
  };
  const made = (op: string, inputs: Value[], outputs: Value[], attributes: Attributes): Node => {
    const result = new Node(op, inputs, outputs, attributes, {}, "", names.unique(`${node.name}/${op}`));
    result.metadata = node.metadata;
    return result;
  };
  const given = node.inputs[1] ? graph.initializers.get(node.inputs[1]) : Tensor.of("int64", [], [1]);
  if (!given) return null;
  const sizes = given.numbers();
  if (given.dims.length === 1) {
    const outputs = sizes.map((_, i) => value(String(i)));
    return {
      nodes: [made("Split", [x, int64s("sizes", sizes)], outputs, { axis: int(axis) })],
      at: (i) => outputs.at(i),
    };
  }
  const [chunk = 0] = sizes;
  if (chunk < 1 || indices.some((i) => i < 0)) return null;
  const squeezed = !node.inputs[1] && node.int("keepdims", 1) === 0;
  const nodes: Node[] = [];
  const parts = new Map<number, Value>();
  for (const i of new Set(indices)) {
    const part = value(String(i));
    const bounds = [int64s(`${i}/start`, [i * chunk]), int64s(`${i}/end`, [(i + 1) * chunk]), int64s("axes", [axis])];
    const sliced = squeezed ? value(`${i}/sliced`) : part;
    nodes.push(made("Slice", [x, ...bounds], [sliced], {}));
    if (squeezed) nodes.push(made("Squeeze", [sliced, int64s("axes", [axis])], [part], {}));
    parts.set(i, part);
  }
  return { nodes, at: (i) => parts.get(i) };
}

const numbers = (graph: Graph, v: Value | null | undefined): number[] | undefined =>
  v ? graph.initializers.get(v)?.numbers() : undefined;
