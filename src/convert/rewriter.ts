import {
  Node,
  Value,
  tensorType,
  type Attribute,
  type Attributes,
  type Graph,
  type Model,
  type Type,
} from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { type DType, isFloat } from "../util/dtype.js";

/** Names of a model, so that new ones are like no other, in any graph of it. */
export class Names {
  private readonly taken = new Set<string>();
  private readonly counters = new Map<string, number>();

  constructor(model: Model) {
    this.reserve(model.graph);
  }

  reserve(graph: Graph): void {
    for (const v of [...graph.inputs, ...graph.initializers.keys(), ...graph.sparseInitializers.keys()])
      this.taken.add(v.name);
    for (const node of graph.nodes) {
      this.taken.add(node.name);
      for (const o of node.outputs) if (o) this.taken.add(o.name);
      for (const body of Object.values(node.bodies)) this.reserve(body);
    }
  }

  unique(base: string): string {
    let name = base;
    for (let i = this.counters.get(base) ?? 1; this.taken.has(name); i++) {
      name = `${base}_${i}`;
      this.counters.set(base, i + 1);
    }
    this.taken.add(name);
    return name;
  }
}

/** A change of one node: the node itself may be altered, and nodes may be put before it. */
export type Converter = (node: Node, r: Rewriter) => void;

/** Puts nodes before the one that is being converted. */
export class Rewriter {
  private before: Node[] = [];
  private current: Node | null = null;

  constructor(
    private readonly graph: Graph,
    private readonly names: Names,
    /** Whether anything in the model reads a value. */
    readonly isRead: (value: Value) => boolean,
  ) {}

  /** Converts every node of the graph for which `converterOf` knows how. */
  run(converterOf: (node: Node) => Converter | undefined): void {
    const nodes: Node[] = [];
    for (const node of this.graph.nodes) {
      const convert = converterOf(node);
      if (convert) {
        this.current = node;
        this.before = [];
        convert(node, this);
        nodes.push(...this.before);
      }
      nodes.push(node);
    }
    this.graph.nodes = nodes;
  }

  /** A new node before the current one, with one output. */
  emit(op: string, inputs: readonly (Value | null)[], attributes: Attributes = {}): Value {
    const name = this.names.unique(this.nameOf(op));
    const value = new Value(this.names.unique(`${name}_out`), null);
    this.before.push(new Node(op, [...inputs], [value], attributes, {}, "", name));
    return value;
  }

  constant(tensor: Tensor, name = "constant"): Value {
    const value = new Value(this.names.unique(this.nameOf(name)), tensorType(tensor.dtype, tensor.dims));
    this.graph.initializers.set(value, tensor);
    return value;
  }

  /** A value with a name of its own, for bodies. */
  value(part: string, type: Type | null): Value {
    return new Value(this.names.unique(this.nameOf(part)), type);
  }

  /** The constant that a value is, where an initializer of this graph or a Constant node says so. */
  constantOf(value: Value | null | undefined): Tensor | undefined {
    if (!value) return undefined;
    return this.graph.initializers.get(value) ?? value.producer?.tensor("value");
  }

  int64s(values: readonly number[], name?: string): Value {
    return this.constant(Tensor.int64s(values), name);
  }

  /** A number in the dtype of `x`, whether or not that is known. */
  scalarLike(x: Value, value: number): Value {
    const dtype: DType | null = x.type?.kind === "tensor" ? x.type.dtype : null;
    if (dtype === "float32" || dtype === "float64") return this.constant(Tensor.of(dtype, [], [value]));
    if (dtype && !isFloat(dtype)) return this.constant(Tensor.of(dtype, [], [value]));
    return this.emit("CastLike", [this.constant(Tensor.of("float32", [], [value])), x]);
  }

  /** Turns the current node into another operator; it keeps its name and its outputs. */
  become(op: string, inputs: readonly (Value | null)[], attributes: Attributes = {}, domain = ""): void {
    const node = this.current;
    if (!node) return;
    node.op = op;
    node.domain = domain;
    node.inputs = [...inputs];
    node.attributes = attributes;
  }

  private nameOf(part: string): string {
    const own = this.current?.name ?? "";
    return own ? `${own}/${part}` : part;
  }
}

/** The attributes of `node` without those named. */
export const without = (node: Node, ...names: string[]): Attributes =>
  Object.fromEntries(Object.entries(node.attributes).filter(([k]) => !names.includes(k)));

/** Makes inputs longer with absent ones until input `i` is there, and sets it. */
export function setInput(node: Node, i: number, value: Value | null): void {
  while (node.inputs.length <= i) node.inputs.push(null);
  node.inputs[i] = value;
  while (node.inputs.length > 0 && node.inputs.at(-1) === null) node.inputs.pop();
}

export const withAttribute = (node: Node, name: string, value: Attribute): Attributes => ({
  ...node.attributes,
  [name]: value,
});
