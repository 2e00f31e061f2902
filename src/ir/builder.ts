import { invariant } from "../util/assert.js";
import type { DType } from "../util/dtype.js";
import {
  Graph,
  Node,
  Value,
  randomOperators,
  tensorType,
  type Attribute,
  type Attributes,
  type Type,
} from "./graph.js";
import { Tensor } from "./tensor.js";

/** Where constants can be looked up: shapes and axes decide types. */
export interface Constants {
  constantOf(value: Value): Tensor | undefined;
}

/** The types of a node's outputs, from those of its inputs; how a builder learns it is handed in from `ops/`. */
export type Infer = (node: Node, constants: Constants) => readonly (Type | null)[];

export interface OpOptions {
  /** Types of the outputs, where the caller knows them better than inference. */
  types?: readonly (Type | null)[];
  outputs?: number;
  domain?: string;
  /** Node name; the current scope is put before it. */
  name?: string;
}

/**
 * Appends nodes to a graph. Equal nodes (same operator, attributes and inputs) are one node, so that everything that
 * the passes of a training step share is computed once; equal constants are one initializer. `Op` limits the operators
 * that callers may emit to those that have a rule.
 */
export class Builder<Op extends string = string> implements Constants {
  readonly graph: Graph;
  private readonly nodes = new Map<string, Node>();
  private readonly constants = new Map<string, Value>();
  private readonly ids = new Map<object, number>();
  private readonly names: Set<string>;
  private readonly counters: Map<string, number>;
  /** The outputs made so far: a graph has one for every parameter, and more. */
  private readonly named = new Set<Value>();
  private scopes: string[] = [];

  /** `outer`: the builder of the graph around, where this one makes a body. */
  constructor(
    name: string,
    readonly infer: Infer,
    readonly outer: Builder<Op> | null = null,
  ) {
    this.graph = new Graph(name);
    this.names = outer ? outer.names : new Set<string>();
    this.counters = outer ? outer.counters : new Map<string, number>();
    if (outer) this.scopes = [...outer.scopes];
  }

  /**
   * A builder for the body of a node of this graph: it may read every value of this graph, and no two values of both
   * have the same name. Inputs are made by `parameter`, and outputs all at once by `returns`.
   */
  body(name: string): Builder<Op> {
    return new Builder<Op>(this.unique(name), this.infer, this);
  }

  /** An input of a body. */
  parameter(name: string, type: Type | null): Value {
    const value = new Value(this.unique(name), type);
    this.graph.inputs.push(value);
    return value;
  }

  /** Makes `values` the outputs of a body; one that no node of the body makes, or that came before, goes through an Identity. */
  returns(values: readonly Value[]): Graph {
    const own = new Set(this.graph.nodes.flatMap((n) => n.outputs));
    for (const value of values) {
      const free = own.has(value) && !this.graph.outputs.includes(value);
      this.graph.outputs.push(free ? value : this.copyOf(value));
    }
    return this.graph;
  }

  private copyOf(value: Value): Value {
    const copy = new Value(this.unique(`${this.prefix}Identity_out`), value.type);
    this.graph.nodes.push(new Node("Identity", [value], [copy], {}, {}, "", this.unique(`${this.prefix}Identity`)));
    return copy;
  }

  input(name: string, type: Type): Value {
    invariant(!this.names.has(name), `two inputs are called "${name}"`);
    this.names.add(name);
    const value = new Value(name, type);
    this.graph.inputs.push(value);
    return value;
  }

  /** Makes `value` the graph output `name`. A value that already has a public name goes through an Identity. */
  output(value: Value, name: string): Value {
    invariant(!this.names.has(name), `the name "${name}" is taken`);
    const free = value.producer !== null && !this.named.has(value);
    let out = value;
    if (!free) {
      out = new Value("", value.type);
      this.graph.nodes.push(new Node("Identity", [value], [out], {}, {}, "", this.unique(`${this.prefix}Identity`)));
    }
    this.names.delete(out.name);
    out.name = name;
    this.names.add(name);
    this.named.add(out);
    this.graph.outputs.push(out);
    return out;
  }

  /** A constant; equal tensors give the same value. */
  constant(tensor: Tensor, name = "const"): Value {
    const bytes = "strings" in tensor.storage ? null : tensor.byteLength <= 4096 ? tensor.bytes() : null;
    const key = bytes
      ? `${tensor.dtype}[${tensor.dims.join(",")}]${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1")}`
      : `#${this.id(tensor)}`;
    const known = this.constants.get(key);
    if (known) return known;
    const value = new Value(this.unique(name), tensorType(tensor.dtype, tensor.dims));
    this.constants.set(key, value);
    this.graph.initializers.set(value, tensor);
    return value;
  }

  scalar(x: number, dtype: DType = "float32"): Value {
    return this.constant(Tensor.of(dtype, [], [x]));
  }

  int64s(values: readonly number[]): Value {
    return this.constant(Tensor.int64s(values));
  }

  /** The constant tensor behind `value`, where there is one in this graph or those around it. */
  constantOf(value: Value): Tensor | undefined {
    return this.graph.constantOf(value) ?? this.outer?.constantOf(value);
  }

  /** One node with one output. */
  op(op: Op, inputs: readonly (Value | null)[], attributes: Attributes = {}, options: OpOptions = {}): Value {
    return this.node(op, inputs, attributes, {}, { ...options, outputs: 1 }).output(0);
  }

  /** One node with `options.outputs` outputs. */
  node(
    op: Op,
    inputs: readonly (Value | null)[],
    attributes: Attributes = {},
    bodies: Readonly<Record<string, Graph>> = {},
    options: OpOptions = {},
  ): Node {
    const count = options.outputs ?? 1;
    return this.emit(op, inputs, Array<boolean>(count).fill(true), attributes, bodies, options);
  }

  /** Like `node`, for any operator and with outputs left out where `present` is false: how graphs are copied in. */
  emit(
    op: string,
    inputs: readonly (Value | null)[],
    present: readonly boolean[],
    attributes: Attributes,
    bodies: Readonly<Record<string, Graph>>,
    options: OpOptions,
  ): Node {
    const domain = options.domain ?? "";
    const pure = !randomOperators.has(op) && Object.keys(bodies).length === 0;
    const key = pure ? this.nodeKey(domain, op, inputs, present, attributes) : "";
    const known = pure ? this.nodes.get(key) : undefined;
    if (known) return known;
    const trimmed = [...inputs];
    while (trimmed.length > 0 && trimmed.at(-1) === null) trimmed.pop();
    const name = this.unique(`${this.prefix}${options.name ?? op}`);
    const outputs = present.map((there, i) =>
      there ? new Value(this.unique(i === 0 ? `${name}_out` : `${name}_out${i}`), null) : null,
    );
    const node = new Node(op, trimmed, outputs, attributes, bodies, domain, name);
    const types = options.types ?? this.infer(node, this);
    node.outputs.forEach((o, i) => {
      if (o) o.type = types[i] ?? null;
    });
    this.graph.nodes.push(node);
    if (pure) this.nodes.set(key, node);
    return node;
  }

  /** Nodes emitted by `body` carry `name/` before their names. */
  scope<T>(name: string, body: () => T): T {
    this.scopes.push(name);
    try {
      return body();
    } finally {
      this.scopes.pop();
    }
  }

  /** Reserves a name: `base`, or `base_1`, `base_2`, … */
  unique(base: string): string {
    if (!this.names.has(base)) {
      this.names.add(base);
      return base;
    }
    for (let i = this.counters.get(base) ?? 1; ; i++) {
      const name = `${base}_${i}`;
      if (this.names.has(name)) continue;
      this.counters.set(base, i + 1);
      this.names.add(name);
      return name;
    }
  }

  private get prefix(): string {
    let prefix = "";
    for (const scope of this.scopes) prefix += `${scope}/`;
    return prefix;
  }

  private id(object: object): number {
    let id = this.ids.get(object);
    if (id === undefined) this.ids.set(object, (id = this.ids.size));
    return id;
  }

  /** Equal for equal nodes; parts end at a newline, which no part has in it. */
  private nodeKey(
    domain: string,
    op: string,
    inputs: readonly (Value | null)[],
    present: readonly boolean[],
    attributes: Attributes,
  ): string {
    let key = `${domain}\n${op}\n`;
    for (const there of present) key += there ? "1" : "0";
    key += "\n";
    for (const v of inputs) key += v ? `${this.id(v)} ` : "- ";
    const names = Object.keys(attributes);
    if (names.length > 1) names.sort();
    for (const name of names) {
      const attribute = attributes[name];
      if (attribute) key += `\n${name} ${this.attributeKey(attribute)}`;
    }
    return key;
  }

  private attributeKey(a: Attribute): string {
    switch (a.type) {
      case "float":
      case "int":
        return `${a.type}${a.value}`;
      case "floats":
      case "ints":
        return `${a.type}${a.value.join(",")}`;
      case "string":
        return typeof a.value === "string" ? JSON.stringify(a.value) : `#${this.id(a.value)}`;
      case "tensor":
        return "strings" in a.value.storage || a.value.byteLength > 4096
          ? `#${this.id(a.value)}`
          : `${a.value.dtype}[${a.value.dims.join(",")}]${a.value.bytes().join(",")}`;
      default:
        return `#${this.id(a)}`;
    }
  }
}
