import { int, ints, Node, Value, type Attributes, type Graph, type Model } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { must } from "../util/assert.js";
import { normalizeAxis } from "../util/shape.js";
import { Names } from "./rewriter.js";

/**
 * Makes tensors of sequences of tensors that are equal in shape, in place, so that derivatives pass them:
 * - a Loop that does nothing with a sequence but append to it (a list in TorchScript) collects a scanned output;
 * - an element of a tensor that is split into ones (`unbind`), at whatever index, is read from the tensor.
 *
 * Sequences that are used in other ways stay.
 */
export function collectSequences(model: Model): void {
  const names = new Names(model);
  const inGraph = (graph: Graph): void => {
    for (const node of graph.nodes) for (const body of node.graphs()) inGraph(body);
    for (const node of [...graph.nodes]) {
      if (node.domain !== "") continue;
      if (node.op === "Loop") collect(graph, node, names);
      if (node.op === "SplitToSequence") index(graph, node, names);
    }
  };
  inGraph(model.graph);
}

/** Every node that reads `value`, with the graph that it lies in. */
function* readersOf(graph: Graph, value: Value): Generator<[Node, Graph]> {
  for (const node of graph.nodes) {
    if (node.inputs.includes(value)) yield [node, graph];
    for (const body of node.graphs()) {
      yield* readersOf(body, value);
      if (body.outputs.includes(value)) yield [node, graph];
    }
  }
}

/** The node that reads `value` and nothing else does, if it is this operator. */
function onlyReader(graph: Graph, value: Value, op: string): Node | null {
  const readers = [...readersOf(graph, value)];
  const [first] = readers;
  return readers.length === 1 && first?.[1] === graph && first[0].op === op ? first[0] : null;
}

/** Puts other nodes in the place of one. */
function replace(graph: Graph, node: Node, by: readonly Node[]): void {
  graph.nodes.splice(graph.nodes.indexOf(node), 1, ...by);
}

class Emitter {
  readonly nodes: Node[] = [];
  constructor(
    private readonly graph: Graph,
    private readonly names: Names,
    private readonly base: string,
  ) {}

  emit(op: string, inputs: readonly Value[], attributes: Attributes = {}, output?: Value): Value {
    const name = this.names.unique(`${this.base}/${op}`);
    const made = output ?? new Value(this.names.unique(`${name}_out`), null);
    this.nodes.push(new Node(op, [...inputs], [made], attributes, {}, "", name));
    return made;
  }

  int64s(values: readonly number[]): Value {
    const value = new Value(this.names.unique(`${this.base}/constant`), null);
    this.graph.initializers.set(value, Tensor.int64s(values));
    return value;
  }
}

/** What a reader of the sequence becomes, once `stack` holds the elements along its first axis; null: it cannot. */
function onStack(graph: Graph, reader: Node, stack: Value, rank: number | undefined, names: Names): Node[] | null {
  const e = new Emitter(graph, names, reader.name || reader.op);
  const output = reader.output();
  switch (reader.op) {
    case "SequenceAt":
      e.emit("Gather", [stack, reader.input(1)], { axis: int(0) }, output);
      return e.nodes;
    case "SequenceLength":
      e.emit("Squeeze", [e.emit("Shape", [stack], { start: int(0), end: int(1) }), e.int64s([0])], {}, output);
      return e.nodes;
    case "ConcatFromSequence": {
      const axis = reader.int("axis", 0);
      if (reader.int("new_axis", 0) === 0) {
        if (axis !== 0) return null;
        const shape = e.emit("Concat", [e.int64s([-1]), e.emit("Shape", [stack], { start: int(2) })], { axis: int(0) });
        e.emit("Reshape", [stack, shape], {}, output);
        return e.nodes;
      }
      if (axis === 0) e.emit("Identity", [stack], {}, output);
      else {
        if (rank === undefined) return null;
        const perm = Array.from({ length: rank }, (_, i) => i + 1);
        perm.splice(normalizeAxis(axis, rank + 1), 0, 0);
        e.emit("Transpose", [stack], { perm: ints(perm) }, output);
      }
      return e.nodes;
    }
    default:
      return null;
  }
}

/** Scanned outputs of `loop` in the place of sequences that it appends to. */
function collect(graph: Graph, loop: Node, names: Names): void {
  const body = must(loop.bodies["body"], `${loop.label}: body`);
  for (let k = loop.inputs.length - 3; k >= 0; k--) {
    const [initial, start, end] = [loop.inputs[2 + k], body.inputs[2 + k], body.outputs[1 + k]];
    const output = loop.outputs[k];
    if (initial?.producer?.op !== "SequenceEmpty" || !start || !end) continue;
    const insert = onlyReader(body, start, "SequenceInsert");
    if (!insert || insert.inputs[2] || insert.output() !== end || insert.inputs[0] !== start) continue;
    if ([...readersOf(body, end)].length > 0 || body.outputs.filter((o) => o === end).length > 1) continue;
    if (output && graph.outputs.includes(output)) continue;
    const element = insert.input(1);
    const stack = new Value(names.unique(`${loop.name}/collected`), null);
    const readers = output ? [...readersOf(graph, output)] : [];
    const replaced = readers.map(([reader, within]) => onStack(within, reader, stack, element.shape?.length, names));
    if (replaced.some((r) => r === null)) continue;
    readers.forEach(([reader, within], i) => {
      replace(within, reader, replaced[i] ?? []);
    });
    const copy = new Value(names.unique(`${element.name}/collected`), null);
    replace(body, insert, [
      new Node("Identity", [element], [copy], {}, {}, "", names.unique(`${insert.name}/Identity`)),
    ]);
    loop.inputs.splice(2 + k, 1);
    body.inputs.splice(2 + k, 1);
    body.outputs.splice(1 + k, 1);
    body.outputs.push(copy);
    while (loop.outputs.length <= k) loop.outputs.push(null);
    loop.outputs.splice(k, 1);
    while (loop.outputs.length < body.outputs.length - 2) loop.outputs.push(null);
    loop.outputs.push(stack);
    stack.producer = loop;
  }
}

/** Elements of a tensor that `split` takes apart into ones, read from the tensor itself. */
function index(graph: Graph, split: Node, names: Names): void {
  const sizes = split.inputs[1] ? graph.initializers.get(split.inputs[1]) : null;
  const ones = split.inputs[1] ? sizes?.dims.length === 0 && sizes.numbers()[0] === 1 : true;
  const readers = [...readersOf(graph, split.output())];
  const isRead = readers.every(([r]) => r.op === "SequenceAt" || r.op === "SequenceLength");
  if (!ones || !isRead || graph.outputs.includes(split.output())) return;
  const axis = split.int("axis", 0);
  const keeps = split.inputs[1] !== undefined && split.inputs[1] !== null ? true : split.int("keepdims", 1) !== 0;
  for (const [reader, within] of readers) {
    const e = new Emitter(within, names, reader.name || reader.op);
    const x = split.input(0);
    if (reader.op === "SequenceAt") {
      const element = e.emit("Gather", [x, reader.input(1)], { axis: int(axis) }, keeps ? undefined : reader.output());
      if (keeps) e.emit("Unsqueeze", [element, e.int64s([axis])], {}, reader.output());
    } else {
      const size = e.emit("Gather", [e.emit("Shape", [x]), e.int64s([axis])], { axis: int(0) });
      e.emit("Squeeze", [size, e.int64s([0])], {}, reader.output());
    }
    replace(within, reader, e.nodes);
  }
  graph.nodes.splice(graph.nodes.indexOf(split), 1);
}
