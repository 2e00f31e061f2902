import { float, int, ints, tensorType, Value, type Graph } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";
import type { RuleBuilder } from "../../src/ops/rule.js";

const typed = (...shape: (number | string)[]) => ({ types: [tensorType("float32", shape)] });

function parameter(b: RuleBuilder, name: string, dims: number[], value: (i: number) => number): Value {
  const size = dims.reduce((n, d) => n * d, 1);
  const v = new Value(name, tensorType("float32", dims));
  b.graph.initializers.set(
    v,
    Tensor.of(
      "float32",
      dims,
      Array.from({ length: size }, (_, i) => value(i)),
    ),
  );
  return v;
}

/** The Hessian of `quadratic`, 3 by 3. */
export const hessian = [
  [2, 0.5, -0.3],
  [0.5, 1, 0.4],
  [-0.3, 0.4, 0.6],
] as const;

/** The loss ½ wᵀAw − mean over the batch of xᵢᵀw, which the model gives itself; x [batch, 3]. */
export function quadratic(): Graph {
  const b = newBuilder("quadratic");
  const x = b.input("x", tensorType("float32", ["batch", 3]));
  const w = parameter(b, "weight", [3, 1], (i) => 1 - 0.7 * i);
  const a = b.constant(Tensor.of("float32", [3, 3], hessian.flat()));
  const curved = b.op("ReduceSum", [b.op("Mul", [w, b.op("MatMul", [a, w])])], { keepdims: int(0) });
  const linear = b.op("ReduceMean", [b.op("MatMul", [x, w])], { keepdims: int(0) });
  b.output(b.op("Sub", [b.op("Mul", [curved, b.scalar(0.5)]), linear]), "loss");
  return b.graph;
}

/** One encoder layer of width 4 over ids [batch, 3]: embedding, attention, two layer norms, feed-forward; logits of 3 classes. */
export function tinyEncoder(): Graph {
  const b = newBuilder("tiny_encoder");
  const ids = b.input("ids", tensorType("int64", ["batch", 3]));
  const weight = (name: string, dims: number[]) =>
    parameter(b, name, dims, (i) => 0.7 * Math.sin(1.9 * i + name.length * 1.3));
  const hidden = typed("batch", 3, 4);
  const linear = (x: Value, name: string, inputs: number, outputs: number): Value =>
    b.op("Add", [
      b.op("MatMul", [x, weight(`${name}.weight`, [inputs, outputs])], {}, typed("batch", 3, outputs)),
      weight(`${name}.bias`, [outputs]),
    ]);
  const norm = (x: Value, name: string): Value =>
    b.op(
      "LayerNormalization",
      [x, parameter(b, `${name}.weight`, [4], (i) => 1 + 0.1 * i), weight(`${name}.bias`, [4])],
      { axis: int(-1), epsilon: float(1e-3) },
      hidden,
    );
  const x = b.op("Gather", [weight("embedding.weight", [6, 4]), ids], { axis: int(0) }, hidden);
  const keys = b.op("Transpose", [linear(x, "key", 4, 4)], { perm: ints([0, 2, 1]) }, typed("batch", 4, 3));
  const scores = b.op("MatMul", [linear(x, "query", 4, 4), keys], {}, typed("batch", 3, 3));
  const weights = b.op("Softmax", [b.op("Mul", [scores, b.scalar(0.5)])], { axis: int(-1) }, typed("batch", 3, 3));
  const mixed = b.op("MatMul", [weights, linear(x, "value", 4, 4)], {}, hidden);
  const first = norm(b.op("Add", [x, mixed]), "norm1");
  const fed = linear(b.op("Tanh", [linear(first, "up", 4, 5)]), "down", 5, 4);
  const second = norm(b.op("Add", [first, fed]), "norm2");
  const pooled = b.op("ReduceMean", [second, b.int64s([1])], { keepdims: int(0) }, typed("batch", 4));
  const logits = b.op("MatMul", [pooled, weight("classifier.weight", [4, 3])], {}, typed("batch", 3));
  b.output(b.op("Add", [logits, weight("classifier.bias", [3])]), "logits");
  return b.graph;
}

/** Images x [batch, 3, 8, 8] through a convolution to 6 channels, a rectifier and the mean over all places; logits of 3 classes. */
export function tinyClassifier(classes = 3): Graph {
  const b = newBuilder("tiny_classifier");
  const x = b.input("x", tensorType("float32", ["batch", 3, 8, 8]));
  const weight = (name: string, dims: number[]) =>
    parameter(b, name, dims, (i) => 0.3 * Math.sin(1.9 * i + name.length));
  const filtered = b.op(
    "Conv",
    [x, weight("conv.weight", [6, 3, 3, 3]), weight("conv.bias", [6])],
    { strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) },
    typed("batch", 6, 4, 4),
  );
  const hidden = b.op("ReduceMean", [b.op("Relu", [filtered]), b.int64s([2, 3])], { keepdims: int(0) });
  const logits = b.op("MatMul", [hidden, weight("head.weight", [6, classes])], {}, typed("batch", classes));
  b.output(b.op("Add", [logits, weight("head.bias", [classes])]), "logits");
  return b.graph;
}

/**
 * y = c · tanh(x W + b) V with x [batch, 1]: W and V [1, 1], b [1], c a scalar; and an output `aside` = x U, U [1, 2], which the
 * loss of y does not reach.
 */
export function oneElementNet(): Graph {
  const b = newBuilder("one_element");
  const x = b.input("x", tensorType("float32", ["batch", 1]));
  const weight = (name: string, dims: number[]) => parameter(b, name, dims, (i) => 0.8 - 0.3 * i);
  const hidden = b.op("Tanh", [
    b.op("Add", [b.op("MatMul", [x, weight("first.weight", [1, 1])]), weight("first.bias", [1])]),
  ]);
  const y = b.op("Mul", [b.op("MatMul", [hidden, weight("second.weight", [1, 1])]), weight("gain", [])]);
  b.output(y, "y");
  b.output(b.op("MatMul", [x, weight("unreached.weight", [1, 2])]), "aside");
  return b.graph;
}

/** `layers` layers of `width` with tanh between, over x [batch, width]; logits of as many classes. */
export function perceptron(width: number, layers: number): Graph {
  const b = newBuilder("perceptron");
  let x = b.input("x", tensorType("float32", ["batch", width]));
  for (let i = 0; i < layers; i++) {
    const weight = parameter(b, `layer${i}.weight`, [width, width], (k) => 0.1 * Math.sin(1.7 * k + i));
    if (i > 0) x = b.op("Tanh", [x], {}, typed("batch", width));
    x = b.op("MatMul", [x, weight], {}, typed("batch", width));
  }
  b.output(x, "logits");
  return b.graph;
}
