import { int, Node, Value, tensorType, type Attributes, type Graph } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { must } from "../util/assert.js";
import { anonymous } from "./parameters.js";
import { modulePath } from "./scopes.js";

/** Gates of each layer: which of PyTorch's comes at each place of ONNX's. */
const gates: Readonly<Record<string, readonly number[]>> = { RNN: [0], GRU: [1, 0, 2], LSTM: [0, 3, 1, 2] };

/**
 * Takes the weights of recurrent layers apart again, in place. Exporters that fold constants store the weights of both
 * directions, in ONNX's order of gates, as tensors without names; here they are computed from parameters that are called
 * as PyTorch's (`rnn.weight_ih_l0_reverse`) and hold the same values. Layers whose weights kept names stay. Needs types.
 */
export function unfoldRecurrent(graph: Graph): void {
  const reads = new Map<Value, number>();
  for (const node of graph.nodes) for (const v of node.reads()) reads.set(v, (reads.get(v) ?? 0) + 1);
  const taken = new Set([...graph.initializers.keys()].map((v) => v.name));
  const layers = new Map<string, number>();
  graph.nodes = graph.nodes.flatMap((node) => {
    const order = node.domain === "" ? gates[node.op] : undefined;
    const weights = node.inputs.slice(1, 4).filter((v) => v !== null);
    if (!order) return [node];
    const path = modulePath(node);
    const layer = layers.get(path) ?? 0;
    layers.set(path, layer + 1);
    const isFolded = (v: Value): boolean =>
      graph.initializers.has(v) && anonymous.test(v.name) && reads.get(v) === 1 && !graph.outputs.includes(v);
    if (weights.length < 2 || !weights.every(isFolded)) return [node];
    const unfolding = new Unfolding(graph, node, order, path === "" ? "" : `${path}.`, layer);
    if (unfolding.names().some((name) => taken.has(name))) return [node];
    return [...unfolding.run(), node];
  });
}

class Unfolding {
  private readonly nodes: Node[] = [];
  private readonly directions: number;

  constructor(
    private readonly graph: Graph,
    private readonly node: Node,
    private readonly order: readonly number[],
    private readonly prefix: string,
    private readonly layer: number,
  ) {
    this.directions = this.tensorAt(1).dims[0] ?? 1;
  }

  names(): string[] {
    const kinds = ["weight_ih", "weight_hh", ...(this.node.inputs[3] ? ["bias_ih", "bias_hh"] : [])];
    return kinds.flatMap((kind) => Array.from({ length: this.directions }, (_, d) => this.nameOf(kind, d)));
  }

  run(): Node[] {
    const { node } = this;
    node.inputs[1] = this.stack("weight_ih", [{ tensor: this.tensorAt(1), kind: "weight_ih" }]);
    node.inputs[2] = this.stack("weight_hh", [{ tensor: this.tensorAt(2), kind: "weight_hh" }]);
    if (node.inputs[3]) {
      const [ih, hh] = halves(this.tensorAt(3));
      node.inputs[3] = this.stack("bias", [
        { tensor: ih, kind: "bias_ih" },
        { tensor: hh, kind: "bias_hh" },
      ]);
    }
    return this.nodes;
  }

  private nameOf(kind: string, d: number): string {
    return `${this.prefix}${kind}_l${this.layer}${d === 1 ? "_reverse" : ""}`;
  }

  private tensorAt(i: number): Tensor {
    return must(this.graph.initializers.get(this.node.input(i)), `${this.node.label}: weights`);
  }

  /** The input that holds the parts one after another, for each direction, computed from parameters. */
  private stack(name: string, parts: readonly { tensor: Tensor; kind: string }[]): Value {
    const slices = Array.from({ length: this.directions }, (_, d) => {
      const rows = parts.map(({ tensor, kind }) => this.ordered(tensor, kind, d));
      return this.emit("Unsqueeze", [this.concat(rows, 0), this.int64s("axes", [0])], (v) => [1, ...v]);
    });
    const old = this.node.input(name === "bias" ? 3 : name === "weight_ih" ? 1 : 2);
    this.graph.initializers.delete(old);
    return this.concat(slices, 0);
  }

  /** A parameter with the gates in PyTorch's order, brought into ONNX's. */
  private ordered(all: Tensor, kind: string, d: number): Value {
    const { order } = this;
    const dims = all.dims.slice(1);
    const size = all.size / this.directions;
    const numbers = all.numbers().slice(d * size, (d + 1) * size);
    const block = size / order.length;
    const values = Array<number>(size).fill(0);
    order.forEach((from, to) => {
      for (let i = 0; i < block; i++) values[from * block + i] = numbers[to * block + i] ?? 0;
    });
    const parameter = new Value(this.nameOf(kind, d), tensorType(all.dtype, dims));
    this.graph.initializers.set(parameter, Tensor.of(all.dtype, dims, values));
    if (order.length === 1) return parameter;
    const rows = (dims[0] ?? 0) / order.length;
    const sizes = this.int64s(
      "sizes",
      order.map(() => rows),
    );
    const outputs = order.map(
      (k) => new Value(`${parameter.name}/gate_${k}`, tensorType(all.dtype, [rows, ...dims.slice(1)])),
    );
    this.push(new Node("Split", [parameter, sizes], outputs, { axis: int(0) }, {}, "", `${parameter.name}/Split`));
    return this.concat(
      order.map((k) => must(outputs[k], "gate")),
      0,
    );
  }

  private concat(values: readonly Value[], axis: number): Value {
    const [first] = values;
    if (values.length === 1 && first) return first;
    const total = values.reduce((n, v) => n + Number(v.dims[axis]), 0);
    return this.emit("Concat", values, (dims) => dims.map((d, i) => (i === axis ? total : d)), { axis: int(axis) });
  }

  private emit(
    op: string,
    inputs: readonly Value[],
    shape: (dims: readonly (number | string)[]) => (number | string)[],
    attributes: Attributes = {},
  ): Value {
    const x = must(inputs[0], op);
    const name = `${this.node.name || this.node.op}/unfolded/${op}_${this.nodes.length}`;
    const value = new Value(`${name}_out`, tensorType(x.dtype, shape(x.dims)));
    this.push(new Node(op, [...inputs], [value], attributes, {}, "", name));
    return value;
  }

  private int64s(what: string, values: readonly number[]): Value {
    const name = `${this.node.name || this.node.op}/unfolded/${what}_${this.nodes.length}`;
    const value = new Value(name, tensorType("int64", [values.length]));
    this.graph.initializers.set(value, Tensor.int64s(values));
    return value;
  }

  private push(node: Node): void {
    node.metadata = this.node.metadata;
    this.nodes.push(node);
  }
}

/** The two halves of every row. */
function halves(all: Tensor): [Tensor, Tensor] {
  const [rows = 1, columns = 2] = all.dims;
  const numbers = all.numbers();
  const half = (k: number): Tensor =>
    Tensor.of(
      all.dtype,
      [rows, columns / 2],
      Array.from({ length: rows }, (_, r) =>
        numbers.slice(r * columns + (k * columns) / 2, r * columns + ((k + 1) * columns) / 2),
      ).flat(),
    );
  return [half(0), half(1)];
}
