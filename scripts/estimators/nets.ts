import { int, ints, tensorType, Value, type Graph } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import * as e from "../../src/ops/emit.js";
import { newBuilder } from "../../src/ops/builder.js";
import type { RuleBuilder } from "../../src/ops/rule.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { Rng } from "../../src/util/rng.js";

export const classes = 10;
/** Examples of a data set: the exact Hessian is that of the mean loss over all of them. */
export const examples = 128;

/** A network of about 5,000 parameters, and the data that it learns. */
export interface Net {
  name: string;
  build(seed: number): Graph;
  /** Inputs of every example, row by row, and its class before labels are shuffled. */
  data(rng: Rng): {
    input: Float32Array | BigInt64Array;
    dims: readonly number[];
    dtype: "float32" | "int64";
    labels: number[];
  };
}

/** Emits layers whose weights are drawn as PyTorch draws them: uniform within 1/√inputs. */
class Layers {
  readonly b: RuleBuilder = newBuilder("net");
  private readonly rng: Rng;
  constructor(seed: number) {
    this.rng = new Rng("weights", seed);
  }

  parameter(name: string, dims: readonly number[], draw: () => number): Value {
    const size = dims.reduce((n, d) => n * d, 1);
    const value = new Value(name, tensorType("float32", dims));
    this.b.graph.initializers.set(value, Tensor.of("float32", dims, Array.from({ length: size }, draw)));
    return value;
  }

  private within(inputs: number): () => number {
    return () => (2 * this.rng.uniform() - 1) / Math.sqrt(inputs);
  }

  linear(name: string, x: Value, inputs: number, outputs: number): Value {
    const weight = this.parameter(`${name}.weight`, [inputs, outputs], this.within(inputs));
    return e.add(this.b, e.matmul(this.b, x, weight), this.parameter(`${name}.bias`, [outputs], this.within(inputs)));
  }

  conv(name: string, x: Value, inputs: number, outputs: number, stride: number, size: number): Value {
    const weight = this.parameter(`${name}.weight`, [outputs, inputs, 3, 3], this.within(9 * inputs));
    const bias = this.parameter(`${name}.bias`, [outputs], this.within(9 * inputs));
    return this.b.op(
      "Conv",
      [x, weight, bias],
      { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]), strides: ints([stride, stride]) },
      { types: [tensorType("float32", ["batch", outputs, size, size])] },
    );
  }

  norm(name: string, x: Value, size: number): Value {
    const [scale, bias] = [1, 0].map((v, i) =>
      this.parameter(`${name}.${i === 0 ? "weight" : "bias"}`, [size], () => v),
    );
    return this.b.op("LayerNormalization", [x, scale ?? null, bias ?? null], { axis: int(-1) }, { types: [x.type] });
  }

  table(name: string, entries: number, size: number): Value {
    const normal = new Float64Array(entries * size);
    this.rng.fillNormal(normal);
    let i = 0;
    return this.parameter(`${name}.weight`, [entries, size], () => 0.5 * (normal[i++] ?? 0));
  }
}

/** Gaussian inputs whose class a random network tells. */
function teacherData(inputs: number): Net["data"] {
  return (rng) => {
    const input = new Float32Array(examples * inputs);
    rng.fillNormal(input);
    const weights = new Float64Array(inputs * classes);
    rng.fillNormal(weights);
    const labels = Array.from({ length: examples }, (_, i) => {
      const scores = Array.from({ length: classes }, (_, c) =>
        input
          .subarray(i * inputs, (i + 1) * inputs)
          .reduce((s, x, j) => s + Math.tanh(2 * x) * (weights[j * classes + c] ?? 0), 0),
      );
      return scores.indexOf(Math.max(...scores));
    });
    return { input, dims: [inputs], dtype: "float32", labels };
  };
}

/** Linear layers of these sizes, an activation between each two: of two sizes, softmax regression. */
export function perceptron(name: string, sizes: readonly number[], activation: "Tanh" | "Relu"): Net {
  const [inputs = 1, ...rest] = sizes;
  return {
    name,
    build: (seed) => {
      const layers = new Layers(seed);
      let x = layers.b.input("x", tensorType("float32", ["batch", inputs]));
      let width = inputs;
      rest.forEach((size, i) => {
        x = layers.linear(`layer${i}`, x, width, size);
        if (i < rest.length - 1) x = layers.b.op(activation, [x]);
        width = size;
      });
      layers.b.output(x, "logits");
      return layers.b.graph;
    },
    data: teacherData(inputs),
  };
}

const side = 8;

/** Images 8 × 8: a smooth pattern for each class, shifted at random, under noise. */
const convolutional: Net = {
  name: "conv net",
  build: (seed) => {
    const layers = new Layers(seed);
    const { b } = layers;
    const x = b.input("x", tensorType("float32", ["batch", 1, side, side]));
    const first = b.op("Relu", [layers.conv("conv0", x, 1, 12, 1, 8)]);
    const second = b.op("Relu", [layers.conv("conv1", first, 12, 24, 2, 4)]);
    const pooled = b.op(
      "AveragePool",
      [second],
      { kernel_shape: ints([2, 2]), strides: ints([2, 2]) },
      { types: [tensorType("float32", ["batch", 24, 2, 2])] },
    );
    const hidden = b.op("Relu", [layers.linear("dense0", e.reshape(b, pooled, ["batch", 96]), 96, 20)]);
    b.output(layers.linear("dense1", hidden, 20, classes), "logits");
    return b.graph;
  },
  data: (rng) => {
    const waves = Array.from({ length: classes }, () => Array.from({ length: 4 }, () => 2 * rng.uniform() - 1));
    const noise = new Float32Array(examples * side * side);
    rng.fillNormal(noise);
    const labels = Array.from({ length: examples }, () => rng.int(classes));
    const input = noise.map((v, k) => {
      const [i, pixel] = [Math.floor(k / (side * side)), k % (side * side)];
      const [a = 0, c = 0, d = 0, f = 0] = waves[labels[i] ?? 0] ?? [];
      const [row, column] = [Math.floor(pixel / side), pixel % side];
      return Math.sin(2 * a * row + 2 * c * column + 3 * d) + Math.cos(2 * f * row - c * column) + 0.5 * v;
    });
    return { input, dims: [1, side, side], dtype: "float32", labels };
  },
};

const [vocabulary, length, width, heads, inner] = [40, 12, 16, 2, 88];

/** Tokens; the class is that of the group of four whose tokens come most often. */
const encoder: Net = {
  name: "encoder",
  build: (seed) => {
    const layers = new Layers(seed);
    const { b } = layers;
    const ids = b.input("x", tensorType("int64", ["batch", length]));
    const positions = layers.table("position", length, width);
    let x = e.add(b, e.gather(b, layers.table("token", vocabulary, width), ids, 0), positions);
    const size = width / heads;
    const split = (v: Value): Value => e.transpose(b, e.reshape(b, v, ["batch", length, heads, size]), [0, 2, 1, 3]);
    const normed = layers.norm("norm0", x, width);
    const [q, k, v] = ["query", "key", "value"].map((n) => split(layers.linear(n, normed, width, width))) as [
      Value,
      Value,
      Value,
    ];
    const scores = e.scale(b, e.matmul(b, q, e.transposeLast(b, k)), 1 / Math.sqrt(size));
    const mixed = e.transpose(b, e.matmul(b, e.softmax(b, scores, -1), v), [0, 2, 1, 3]);
    x = e.add(b, x, layers.linear("out", e.reshape(b, mixed, ["batch", length, width]), width, width));
    const hidden = layers.linear("up", layers.norm("norm1", x, width), width, inner);
    const bent = b.op("Mul", [hidden, e.sigmoid(b, e.scale(b, hidden, 1.702))]);
    x = e.add(b, x, layers.linear("down", bent, inner, width));
    b.output(layers.linear("head", e.reduceMean(b, x, [1], false), width, classes), "logits");
    return b.graph;
  },
  data: (rng) => {
    const labels = Array.from({ length: examples }, () => rng.int(classes));
    const input = BigInt64Array.from({ length: examples * length }, (_, k) => {
      const label = labels[Math.floor(k / length)] ?? 0;
      return BigInt(rng.uniform() < 0.4 ? 4 * label + rng.int(4) : rng.int(vocabulary));
    });
    return { input, dims: [length], dtype: "int64", labels };
  },
};

export const nets: readonly Net[] = [
  perceptron("MLP, tanh", [20, 64, 48, classes], "Tanh"),
  perceptron("MLP, relu", [32, 64, 32, 24, classes], "Relu"),
  convolutional,
  encoder,
];

/** The data set of a network, a tenth of its labels drawn anew; `rows` picks examples out of it. */
export function dataOf(net: Net, seed: number): (rows: readonly number[]) => Feeds {
  const rng = new Rng("data", net.name, seed);
  const { input, dims, dtype, labels } = net.data(rng);
  const noisy = labels.map((label) => (rng.uniform() < 0.1 ? rng.int(classes) : label));
  const size = dims.reduce((n, d) => n * d, 1);
  return (rows) => {
    const data =
      input instanceof Float32Array ? new Float32Array(rows.length * size) : new BigInt64Array(rows.length * size);
    rows.forEach((row, i) =>
      (data as Float32Array).set(input.subarray(row * size, (row + 1) * size) as Float32Array, i * size),
    );
    return {
      feeds: {
        x: { dtype, dims: [rows.length, ...dims], data },
        labels: { dtype: "int64", dims: [rows.length], data: BigInt64Array.from(rows, (r) => BigInt(noisy[r] ?? 0)) },
      },
    };
  };
}
