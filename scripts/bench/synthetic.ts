import { float, int, ints, tensorType, Value, type Graph } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";
import type { RuleBuilder } from "../../src/ops/rule.js";

const width = 8;
const hidden = tensorType("float32", ["batch", 4, width]);
const scores = tensorType("float32", ["batch", 4, 4]);

/** A network of at least `nodes` nodes: attention and perceptron blocks in turn, residual, with layer norms; logits of 3 classes. */
export function syntheticModel(nodes: number): Graph {
  const b = newBuilder("synthetic");
  let x = b.input("x", hidden);
  for (let block = 0; b.graph.nodes.length < nodes - 2; block++) {
    const name = `blocks.${block}`;
    x = block % 2 === 0 ? attention(b, x, name) : perceptron(b, x, name);
  }
  const pooled = b.op(
    "ReduceMean",
    [x, b.int64s([1])],
    { keepdims: int(0) },
    { types: [tensorType("float32", ["batch", width])] },
  );
  const logits = b.op(
    "MatMul",
    [pooled, weight(b, "head.weight", [width, 3])],
    {},
    { types: [tensorType("float32", ["batch", 3])] },
  );
  b.output(logits, "logits");
  return b.graph;
}

function weight(b: RuleBuilder, name: string, dims: number[], value?: number): Value {
  const v = new Value(name, tensorType("float32", dims));
  const size = dims.reduce((n, d) => n * d, 1);
  const values = Array.from({ length: size }, (_, i) => value ?? Math.sin(i + name.length) / width);
  b.graph.initializers.set(v, Tensor.of("float32", dims, values));
  return v;
}

const linear = (b: RuleBuilder, x: Value, name: string): Value =>
  b.op("Add", [
    b.op("MatMul", [x, weight(b, `${name}.weight`, [width, width])], {}, { types: [hidden] }),
    weight(b, `${name}.bias`, [width]),
  ]);

const norm = (b: RuleBuilder, x: Value, name: string): Value =>
  b.op(
    "LayerNormalization",
    [x, weight(b, `${name}.weight`, [width], 1), weight(b, `${name}.bias`, [width], 0)],
    { axis: int(-1), epsilon: float(1e-5) },
    { types: [hidden] },
  );

function attention(b: RuleBuilder, x: Value, name: string): Value {
  const h = norm(b, x, `${name}.norm`);
  const [q, k, v] = ["query", "key", "value"].map((part) => linear(b, h, `${name}.${part}`)) as [Value, Value, Value];
  const keys = b.op(
    "Transpose",
    [k],
    { perm: ints([0, 2, 1]) },
    { types: [tensorType("float32", ["batch", width, 4])] },
  );
  const products = b.op("MatMul", [q, keys], {}, { types: [scores] });
  const weights = b.op("Softmax", [b.op("Mul", [products, b.scalar(0.35)])], { axis: int(-1) }, { types: [scores] });
  const mixed = b.op("MatMul", [weights, v], {}, { types: [hidden] });
  return b.op("Add", [x, linear(b, mixed, `${name}.output`)]);
}

function perceptron(b: RuleBuilder, x: Value, name: string): Value {
  const h = norm(b, x, `${name}.norm`);
  return b.op("Add", [x, linear(b, b.op("Tanh", [linear(b, h, `${name}.up`)]), `${name}.down`)]);
}
