import { Node, Value, int, ints, tensorType, type Attributes, type Graph } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";

/** Nodes that take the place of one, named after it. */
export class Replacement {
  readonly nodes: Node[] = [];

  constructor(
    private readonly graph: Graph,
    private readonly node: Node,
  ) {}

  op(op: string, inputs: (Value | null)[], attributes: Attributes = {}, domain = ""): Value {
    const name = `${this.node.name}/${op}_${this.nodes.length}`;
    const output = new Value(name, null);
    this.nodes.push(new Node(op, inputs, [output], attributes, {}, domain, name));
    return output;
  }

  reshape(x: Value, dims: readonly number[]): Value {
    return this.op("Reshape", [x, this.int64s(dims)]);
  }

  transpose(x: Value, perm: readonly number[]): Value {
    return this.op("Transpose", [x], { perm: ints([...perm]) });
  }

  /** `count` parts of one size along `axis`. */
  split(x: Value, axis: number, count: number): Value[] {
    const name = `${this.node.name}/Split_${this.nodes.length}`;
    const parts = Array.from({ length: count }, (_, i) => new Value(`${name}:${i}`, null));
    const attributes = { axis: int(axis), num_outputs: int(count) };
    this.nodes.push(new Node("Split", [x], parts, attributes, {}, "", name));
    return parts;
  }

  int64s(values: readonly number[]): Value {
    const name = `${this.node.name}/constant_${this.nodes.length}_${this.graph.initializers.size}`;
    const value = new Value(name, tensorType("int64", [values.length]));
    this.graph.initializers.set(value, Tensor.int64s(values));
    return value;
  }

  /** The nodes, the last of which gives the output of the node that they replace. */
  done(): Node[] {
    const last = this.nodes.pop();
    if (last)
      this.nodes.push(new Node(last.op, last.inputs, this.node.outputs, last.attributes, {}, last.domain, last.name));
    return this.nodes;
  }
}

/** Puts what `by` gives in the place of every node; null leaves it. */
export function replace(graph: Graph, by: (node: Node) => Node[] | null): { modified: boolean } {
  let modified = false;
  graph.nodes = graph.nodes.flatMap((node) => {
    const made = by(node);
    modified ||= made !== null;
    return made ?? [node];
  });
  return { modified };
}
