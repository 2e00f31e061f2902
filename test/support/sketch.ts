import { Graph, Node, Value, tensorType, type Attributes } from "../../src/ir/graph.js";
import type { Tensor } from "../../src/ir/tensor.js";

/** A graph to put together by hand. */
export class Sketch {
  readonly graph = new Graph("sketch");

  input(name: string, shape: readonly number[], dtype: "float32" | "bool" = "float32"): Value {
    const value = new Value(name, tensorType(dtype, shape));
    this.graph.inputs.push(value);
    return value;
  }

  constant(tensor: Tensor): Value {
    const value = new Value(`constant_${this.graph.initializers.size}`, tensorType(tensor.dtype, tensor.dims));
    this.graph.initializers.set(value, tensor);
    return value;
  }

  /** The output of a node, of `shape` (null: not known; by default rank 2 of products and transposes). */
  op(op: string, inputs: Value[], attributes: Attributes = {}, shape?: readonly number[] | null): Value {
    const name = `${op}_${this.graph.nodes.length}`;
    const rank = { MatMul: 2, Transpose: 2 }[op];
    const usual = rank === undefined ? null : Array.from({ length: rank }, (_, i) => `${name}:${i}`);
    const output = new Value(name, tensorType("float32", shape === undefined ? usual : shape));
    this.graph.nodes.push(new Node(op, inputs, [output], attributes, {}, "", name));
    return output;
  }

  output(value: Value, name: string): void {
    value.name = name;
    value.type ??= tensorType("float32", null);
    this.graph.outputs.push(value);
  }

  count(op: string): number {
    return this.graph.nodes.filter((n) => n.op === op).length;
  }
}
