import { Graph, Node, Value, tensorType, type Attributes } from "../../ir/graph.js";
import { Tensor } from "../../ir/tensor.js";
import type { RuleContext } from "../../ops/rule.js";
import { invariant } from "../../util/assert.js";

export type Given = readonly (Value | null)[];

/**
 * Emits a training operator in standard operators: given its inputs in the builder, the values of its outputs. `node` is
 * the operator itself, with its attributes and the types of its outputs.
 */
export type Lower = (c: RuleContext, node: Node, inputs: Given) => Given;

/** Standard operators of the same output types, from which the runtime infers them. */
export type Twin = (t: TwinBuilder, node: Node, inputs: Given) => Given;

/** An operator of ONNX Runtime's training graphs. */
export interface TrainingOp {
  /**
   * How the types of its outputs are found: `native` where the stock runtime knows the operator; the position of the input
   * whose type each output has; or operators of the same types.
   */
  types: "native" | readonly number[] | Twin;
  lower: Lower;
}

export type TrainingOps = Readonly<Record<string, TrainingOp>>;

/** Input `i` of a node, given as values of the builder; it must be there. */
export function given(node: Node, inputs: Given, i: number): Value {
  const v = inputs[i];
  invariant(v, `${node.label}: input ${i} is missing`);
  return v;
}

/** Builds the graph of twins: a copy of a training graph that only serves type inference. */
export class TwinBuilder {
  readonly graph: Graph;
  /** The copy of every value. */
  readonly copies = new Map<Value, Value>();
  private count = 0;

  constructor(source: Graph) {
    this.graph = new Graph(source.name);
    for (const v of source.inputs) this.graph.inputs.push(this.copy(v));
    for (const [v, t] of source.initializers) this.graph.initializers.set(this.copy(v), t);
  }

  /** The copy of a value, made when it is first asked for. */
  copy(v: Value): Value {
    let known = this.copies.get(v);
    if (!known) this.copies.set(v, (known = new Value(v.name, v.type)));
    return known;
  }

  /** Copies the node as it is. */
  keep(node: Node): void {
    const inputs = node.inputs.map((v) => v && this.copy(v));
    const outputs = node.outputs.map((v) => v && this.copy(v));
    this.graph.nodes.push(
      new Node(node.op, inputs, outputs, node.attributes, node.bodies, node.domain, this.name(node.op)),
    );
  }

  /** Gives the copies of the outputs of `node` the types of `values`. */
  bind(node: Node, values: Given): void {
    node.outputs.forEach((o, i) => {
      const value = values[i];
      if (o && value)
        this.graph.nodes.push(new Node("Identity", [value], [this.copy(o)], {}, {}, "", this.name("type")));
    });
  }

  op(op: string, inputs: Given, attributes: Attributes = {}): Value {
    return this.ops(op, inputs, 1, attributes)[0] as Value;
  }

  /** An operator of several outputs. */
  ops(op: string, inputs: Given, outputs: number, attributes: Attributes = {}): Value[] {
    const made = Array.from({ length: outputs }, () => new Value(this.name(op), null));
    this.graph.nodes.push(new Node(op, [...inputs], made, attributes, {}, "", this.name(op)));
    return made;
  }

  constant(tensor: Tensor): Value {
    const value = new Value(this.name("constant"), tensorType(tensor.dtype, tensor.dims));
    this.graph.initializers.set(value, tensor);
    return value;
  }

  /** A float32 tensor of the shape that an int64 vector holds. */
  filled(shape: Value): Value {
    return this.op("Expand", [this.constant(Tensor.of("float32", [], [0])), shape]);
  }

  private name(base: string): string {
    return `twin::${base}${this.count++}`;
  }
}
