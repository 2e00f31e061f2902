import { Graph, Node, tensorType, Value, type Attributes } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { verify } from "../../src/ir/verify.js";
import type { DType } from "../../src/util/dtype.js";
import type { Dim } from "../../src/util/shape.js";

/** A graph under construction, with few words. */
export class Sketch {
  readonly graph = new Graph("g");
  input(name: string, shape: Dim[] = [2], dtype: DType = "float32"): Value {
    const v = new Value(name, tensorType(dtype, shape));
    this.graph.inputs.push(v);
    return v;
  }
  constant(name: string, tensor: Tensor): Value {
    const v = new Value(name, tensorType(tensor.dtype, tensor.dims));
    this.graph.initializers.set(v, tensor);
    return v;
  }
  ints(name: string, values: number[]): Value {
    return this.constant(name, Tensor.int64s(values));
  }
  op(
    op: string,
    inputs: (Value | null)[],
    name: string,
    attributes: Attributes = {},
    bodies: Record<string, Graph> = {},
  ): Value {
    const out = new Value(name, null);
    this.graph.nodes.push(new Node(op, inputs, [out], attributes, bodies, "", `${name}_node`));
    return out;
  }
  output(...values: Value[]): this {
    this.graph.outputs.push(...values);
    verify(this.graph, "construction");
    return this;
  }
  get ops(): string[] {
    return this.graph.nodes.map((n) => n.op);
  }
  get constants(): Record<string, number[]> {
    return Object.fromEntries(Array.from(this.graph.initializers, ([v, t]) => [v.name, t.numbers()]));
  }
}
