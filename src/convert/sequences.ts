import { int, Node, tensorType, Value, type Attributes, type Graph, type Model } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { Copier } from "./copier.js";
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
 * Replaces what is made of sequences whose elements are known by these elements, in place: elements taken, all of them
 * joined, their number. A `SplitToSequence` by sizes becomes a `Split`; one into chunks of equal size (how `torch.export` writes
 * `chunk`) becomes a `Slice` per element taken, because their number may not be known; a `SequenceMap` becomes its body once for
 * each element; the element of an optional becomes what it is made of. Sequences that are used in other ways stay. Constants have
 * to be initializers.
 */
export function unpackSequences(model: Model): void {
  new Unpacking(model.graph, new Names(model), new Map()).run();
}

/** What is known of a sequence. */
interface List {
  /** Of how many elements it is; null where that is not known. */
  readonly count: number | null;
  /** One of them, counted from either end; undefined where it cannot be told. */
  at(index: number): Value | undefined;
}

const isOptional = (node: Node): boolean => node.op === "Optional" && node.domain === "";

const listOf = (items: readonly Value[]): List => ({ count: items.length, at: (i) => items.at(i) });

/** All elements; undefined where their number is not known. */
function itemsOf(list: List | undefined): Value[] | undefined {
  if (!list || list.count === null) return undefined;
  return Array.from({ length: list.count }, (_, i) => list.at(i)).filter((v) => v !== undefined);
}

class Unpacking {
  private readonly lists: Map<Value, List>;
  /** Values that take the place of others. */
  private readonly taken = new Map<Value, Value>();
  /** Nodes that come right behind another. */
  private readonly behind = new Map<Node, Node[]>();

  constructor(
    private readonly graph: Graph,
    private readonly names: Names,
    outer: ReadonlyMap<Value, List>,
  ) {
    this.lists = new Map(outer);
  }

  run(): void {
    const { graph, lists } = this;
    for (const node of graph.nodes) {
      takeOptional(node);
      if (node.domain === "") this.visit(node);
      for (const body of node.graphs()) new Unpacking(body, this.names, lists).run();
    }
    if (lists.size === 0 && !graph.nodes.some(isOptional)) return;
    graph.nodes = graph.nodes.flatMap((node) => [node, ...(this.behind.get(node) ?? [])]);
    this.sweep();
    rename(graph, this.taken);
  }

  private visit(node: Node): void {
    const list = this.made(node);
    if (list) this.lists.set(node.output(), list);
    else this.read(node);
  }

  private value = (v: Value): Value => this.taken.get(v) ?? v;

  private listAt(node: Node, i: number): List | undefined {
    const v = node.inputs[i];
    return v ? this.lists.get(v) : undefined;
  }

  /** The number that input `i` of a node is; `otherwise` where it is absent. */
  private numberAt(node: Node, i: number, otherwise?: number): number | undefined {
    const v = node.inputs[i];
    return v ? this.graph.initializers.get(v)?.numbers()[0] : otherwise;
  }

  /** The sequence that a node makes. */
  private made(node: Node): List | null {
    switch (node.op) {
      case "SequenceEmpty":
        return listOf([]);
      case "SequenceConstruct":
        return listOf(node.inputs.flatMap((v) => (v ? [this.value(v)] : [])));
      case "SplitToSequence":
        return this.split(node);
      case "SequenceInsert":
        return this.edited(node, 2, (items, at) => items.splice(at, 0, this.value(node.input(1))));
      case "SequenceErase":
        return this.edited(node, 1, (items, at) => items.splice(at, 1), -1);
      case "SequenceMap":
        this.map(node);
        return this.lists.get(node.output()) ?? null;
      case "Identity":
      case "Optional":
      case "OptionalGetElement":
        return this.listAt(node, 0) ?? null;
      default:
        return null;
    }
  }

  /** A sequence in which something happened at the place that input `i` says; without it, at the end. */
  private edited(node: Node, i: number, edit: (items: Value[], at: number) => void, end?: number): List | null {
    const items = itemsOf(this.listAt(node, 0));
    const at = items && this.numberAt(node, i, end ?? items.length);
    if (!items || at === undefined) return null;
    edit(items, at);
    return listOf(items);
  }

  /** What a node makes of a sequence that is no sequence itself. */
  private read(node: Node): void {
    const list = this.listAt(node, 0);
    if (!list) return;
    if (node.op === "SequenceAt") {
      const at = this.numberAt(node, 1);
      const item = at === undefined ? undefined : list.at(at);
      if (item) this.taken.set(node.output(), item);
    } else if (node.op === "SequenceLength" && list.count !== null) {
      this.taken.set(node.output(), this.constant(node, "length", Tensor.of("int64", [], [list.count])));
    } else if (node.op === "ConcatFromSequence") {
      const items = itemsOf(list);
      if (items) this.join(node, items);
    }
  }

  /** All elements along one axis, which is a new one or theirs. */
  private join(node: Node, items: readonly Value[]): void {
    const parts = items.map((v, i) => {
      if (node.int("new_axis", 0) === 0) return v;
      const part = this.part(node, `${i}/apart`);
      const axes = this.constant(node, "axes", Tensor.int64s([node.int("axis", 0)]));
      this.emit(node, "Unsqueeze", [v, axes], [part]);
      return part;
    });
    const joined = this.part(node, "joined");
    joined.type = node.output().type;
    this.emit(node, "Concat", parts, [joined], { axis: int(node.int("axis", 0)) });
    this.taken.set(node.output(), joined);
  }

  /** The body of a `SequenceMap` for each element; inputs that are tensors are the same for all. */
  private map(node: Node): void {
    const body = node.bodies["body"];
    const lists = node.inputs.map((_, i) => this.listAt(node, i));
    const count = lists[0]?.count ?? null;
    if (!body || count === null || lists.some((l) => l && l.count !== count)) return;
    const results = Array.from({ length: count }, (_, k) => {
      const given = node.inputs.map((v, i) => (lists[i] ? (lists[i].at(k) ?? null) : v && this.value(v)));
      const map = new Map<Value, Value | null>(body.inputs.map((v, i) => [v, given[i] ?? null]));
      const copy = new Copier(this.names, `${node.name || node.op}/${k}/`, {}, {}).body(body, map);
      for (const [v, t] of copy.initializers) this.graph.initializers.set(v, t);
      this.behind.set(node, [...(this.behind.get(node) ?? []), ...copy.nodes]);
      return body.outputs.map((o) => map.get(o) ?? o);
    });
    node.outputs.forEach((o, i) => {
      if (o) this.lists.set(o, listOf(results.flatMap((r) => r[i] ?? [])));
    });
  }

  /** The elements of a `SplitToSequence`; their nodes come with the first that asks for one. */
  private split(node: Node): List | null {
    const x = this.value(node.input(0));
    const axis = node.int("axis", 0);
    const given = node.inputs[1] ? this.graph.initializers.get(node.inputs[1]) : Tensor.of("int64", [], [1]);
    if (!given) return null;
    const sizes = given.numbers();
    if (given.dims.length === 1) {
      const outputs = sizes.map((_, i) => this.part(node, String(i)));
      this.emit(node, "Split", [x, this.constant(node, "sizes", Tensor.int64s(sizes))], outputs, { axis: int(axis) });
      return listOf(outputs);
    }
    const [chunk = 0] = sizes;
    if (chunk < 1) return null;
    const squeezed = !node.inputs[1] && node.int("keepdims", 1) === 0;
    const parts = new Map<number, Value>();
    const part = (i: number): Value => {
      const known = parts.get(i);
      if (known) return known;
      const made = this.slice(node, x, axis, [i * chunk, (i + 1) * chunk], squeezed, i);
      parts.set(i, made);
      return made;
    };
    const shape = x.type?.kind === "tensor" ? x.type.shape : null;
    const size = shape?.at(axis);
    if (typeof size !== "number") return { count: null, at: (i) => (i < 0 ? undefined : part(i)) };
    const count = Math.ceil(size / chunk);
    return {
      count,
      at: (i) => (i < -count || i >= count ? undefined : part(i < 0 ? i + count : i)),
    };
  }

  private slice(node: Node, x: Value, axis: number, bounds: readonly number[], squeezed: boolean, i: number): Value {
    const part = this.part(node, String(i));
    const sliced = squeezed ? this.part(node, `${i}/sliced`) : part;
    const [start = 0, end = 0] = bounds;
    const int64s = (name: string, n: number): Value => this.constant(node, name, Tensor.int64s([n]));
    this.emit(node, "Slice", [x, int64s(`${i}/start`, start), int64s(`${i}/end`, end), int64s("axes", axis)], [sliced]);
    if (squeezed) this.emit(node, "Squeeze", [sliced, int64s("axes", axis)], [part]);
    return part;
  }

  private part = (node: Node, name: string): Value =>
    new Value(this.names.unique(`${node.output().name}/${name}`), null);

  private constant(node: Node, name: string, tensor: Tensor): Value {
    const v = this.part(node, name);
    v.type = tensorType(tensor.dtype, tensor.dims);
    this.graph.initializers.set(v, tensor);
    return v;
  }

  private emit(node: Node, op: string, inputs: Value[], outputs: Value[], attributes: Attributes = {}): void {
    const made = new Node(op, inputs, outputs, attributes, {}, "", this.names.unique(`${node.name}/${op}`));
    made.metadata = node.metadata;
    this.behind.set(node, [...(this.behind.get(node) ?? []), made]);
  }

  /** Drops what was replaced, and sequences that nothing reads any longer. */
  private sweep(): void {
    const { graph, lists, taken } = this;
    const read = new Set<Value>(graph.outputs.filter((o) => !taken.has(o)));
    const kept: Node[] = [];
    for (const node of [...graph.nodes].reverse()) {
      const [y] = node.outputs;
      const isReplaced = isOptional(node) || (y && (taken.has(y) || lists.has(y)));
      if (isReplaced && !node.outputs.some((o) => o && read.has(o))) continue;
      kept.push(node);
      for (const v of node.reads()) if (!taken.has(v)) read.add(v);
    }
    graph.nodes = kept.reverse();
  }
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
