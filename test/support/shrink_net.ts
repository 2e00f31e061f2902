import { Graph, ints, type Node, type Value } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { sizeOf } from "../../src/util/shape.js";
import { isFloat } from "../../src/util/dtype.js";
import { must } from "../../src/util/assert.js";
import { array, ofTensor, type Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";

const [rows, side, classes] = [2, 32, 10];

/**
 * Makes a classifier of images small, in place: fewer and smaller images, classes and channels; kernels no larger than what
 * they slide over. Weights, which the net has as constants of a shape, become inputs. Returns the values of all inputs.
 */
export function shrink(graph: Graph, random: () => number): Map<Value, Array64> {
  const net = new Net(graph, random);
  graph.nodes.forEach((node) => net.visit(node));
  graph.nodes = net.nodes;
  graph.inputs = [...net.feeds.keys()];
  return net.feeds;
}

class Net {
  readonly feeds = new Map<Value, Array64>();
  readonly nodes: Node[] = [];
  private readonly known = new Map<Value, Array64>();
  /** The shapes of weights at full size. */
  private readonly shapes = new Map<Value, readonly number[]>();
  /** Weights that are given more dimensions before anything tells their size. */
  private readonly waiting = new Map<Value, Node>();
  private readonly factor: number;

  constructor(
    private readonly graph: Graph,
    private readonly random: () => number,
  ) {
    for (const node of graph.nodes)
      if (node.op === "ConstantOfShape") this.shapes.set(node.output(), this.constant(node.input(0)).numbers());
    for (const [v, t] of graph.initializers)
      if (isFloat(t.dtype) && t.dims.length > 0) {
        this.shapes.set(v, t.dims);
        graph.initializers.delete(v);
      } else this.known.set(v, ofTensor(t));
    for (const v of graph.inputs) {
      if (this.shapes.has(v) || this.known.has(v)) continue;
      if (v.dims.length === 4) this.feed(v, [rows, 3, side, side], 1);
      else this.shapes.set(v, v.dims.map(Number));
    }
    const convolutions = graph.nodes.filter((n) => n.op === "Conv").map((n) => [n, this.shapeOf(n.input(1))] as const);
    const widths = convolutions.map(([, [out = 1]]) => out).filter((out) => out !== 1000);
    const groups = convolutions.map(([n, [out]]) => (n.int("group", 1) === out ? 1 : n.int("group", 1)));
    this.factor = widths.reduce(gcd) / Math.max(...groups);
  }

  private constant(v: Value): Tensor {
    return must(this.graph.initializers.get(v), v.name);
  }

  private shapeOf(v: Value): readonly number[] {
    return must(this.shapes.get(v), v.name);
  }

  private feed(v: Value, dims: readonly number[], size: number, around = 0): void {
    const x = array(
      "float32",
      dims,
      Float64Array.from({ length: sizeOf(dims) }, () => around + size * this.normal()),
    );
    this.feeds.set(v, x);
    this.known.set(v, x);
  }

  private normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.random())) * Math.cos(2 * Math.PI * this.random());
  }

  /** A weight, where `v` is one without a value yet. */
  private weight(v: Value | null | undefined, dims: readonly number[], size: number, around = 0): void {
    if (v && this.shapes.has(v) && !this.known.has(v)) this.feed(v, dims, size, around);
  }

  private width(out: number): number {
    return out === 1000 ? classes : Math.max(1, Math.round(out / this.factor));
  }

  visit(node: Node): void {
    if (node.op === "ConstantOfShape") return;
    const [first, second] = node.inputs;
    if (first && this.shapes.has(first) && !this.known.has(first)) {
      // A weight reshaped is one of that shape; one with more dimensions waits for what tells its size.
      if (node.op === "Reshape") this.shapes.set(node.output(), this.constant(node.input(1)).numbers());
      else this.waiting.set(node.output(), node);
      return;
    }
    this.prepare(node, node.input(0), second ?? null);
    this.run(node);
  }

  private prepare(node: Node, x: Value, second: Value | null): void {
    const [, channels = 1, ...spatial] = this.known.get(x)?.dims ?? [];
    switch (node.op) {
      case "Conv": {
        const [out = 1, , ...kernel] = this.shapeOf(must(second, node.label));
        const isDepthwise = node.int("group", 1) === out;
        const group = isDepthwise ? channels : node.int("group", 1);
        const sizes = this.fit(node, kernel, spatial);
        const fan = (channels / group) * sizeOf(sizes);
        node.attributes = { ...node.attributes, group: { type: "int", value: BigInt(group) } };
        const outs = isDepthwise ? channels : this.width(out);
        this.weight(second, [outs, channels / group, ...sizes], Math.sqrt(2 / fan));
        this.weight(node.inputs[2], [outs], 0.1);
        return;
      }
      case "AveragePool":
      case "MaxPool":
        this.fit(node, must(node.ints("kernel_shape"), node.label), spatial);
        return;
      case "BatchNormalization":
        [1, 0, 0, 1].forEach((around, i) => this.weight(node.inputs[i + 1], [channels], 0.1, around));
        return;
      case "Gemm": {
        const shape = this.shapeOf(must(second, node.label));
        const isTransposed = node.int("transB", 0) === 1;
        const out = this.width(shape[isTransposed ? 0 : 1] ?? 1);
        this.weight(second, isTransposed ? [out, channels] : [channels, out], Math.sqrt(2 / channels));
        this.weight(node.inputs[2], [out], 0.1);
        return;
      }
      case "Add":
      case "Mul":
        this.resolve(second, channels, node.op === "Mul" ? 1 : 0);
        return;
      case "Reshape":
        this.reshape(node, must(second, node.label), spatial);
        return;
      default:
        return;
    }
  }

  /** Kernels no larger than what they slide over. */
  private fit(node: Node, kernel: readonly number[], spatial: readonly number[]): number[] {
    const pads = node.ints("pads") ?? kernel.flatMap(() => [0, 0]);
    const room = spatial.map((size, i) => size + (pads[i] ?? 0) + (pads[i + spatial.length] ?? 0));
    const sizes = kernel.map((size, i) => Math.min(size, room[i] ?? size));
    node.attributes = { ...node.attributes, kernel_shape: ints(sizes) };
    return sizes;
  }

  /** A weight that waited for the number of channels. */
  private resolve(v: Value | null, channels: number, around: number): void {
    const node = v && this.waiting.get(v);
    if (!node) return;
    this.weight(node.input(0), [channels], 0.1, around);
    this.run(node);
  }

  /** Flattened, split into groups of channels, or put together again. */
  private reshape(node: Node, shape: Value, spatial: readonly number[]): void {
    const target = this.graph.initializers.get(shape)?.numbers();
    if (!target) return;
    const groups = target.length === 5 ? [must(target[1], node.label)] : [];
    const dims = target.length === 2 ? [rows, -1] : [rows, ...groups, -1, ...spatial.slice(-2)];
    const tensor = Tensor.int64s(dims);
    this.graph.initializers.set(shape, tensor);
    this.known.set(shape, ofTensor(tensor));
  }

  private run(node: Node): void {
    const one = new Graph("one");
    one.inputs = node.inputs.filter((v) => v !== null);
    one.nodes = [node];
    const known = evaluate(one, this.known);
    for (const o of node.outputs) if (o) this.known.set(o, must(known.get(o), o.name));
    this.nodes.push(node);
  }
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
