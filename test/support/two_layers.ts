import { tensorType, Value, type Graph } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";

/** y = tanh(x W₁ + b₁) W₂ + b₂ with 3 inputs, 4 hidden units and 2 outputs; a dynamic batch. */
export function twoLayers(dtype: "float32" | "float64" = "float32"): Graph {
  const b = newBuilder("two_layers");
  const x = b.input("x", tensorType(dtype, ["batch", 3]));
  const parameter = (name: string, dims: number[]): Value => {
    const size = dims.reduce((n, d) => n * d, 1);
    const values = Array.from({ length: size }, (_, i) => Math.sin(1.7 * i + name.length));
    const value = new Value(name, tensorType(dtype, dims));
    b.graph.initializers.set(value, Tensor.of(dtype, dims, values));
    return value;
  };
  const hidden = b.op("Tanh", [
    b.op("Add", [b.op("MatMul", [x, parameter("first.weight", [3, 4])]), parameter("first.bias", [4])]),
  ]);
  const y = b.op("Add", [b.op("MatMul", [hidden, parameter("second.weight", [4, 2])]), parameter("second.bias", [2])]);
  b.output(y, "logits");
  return b.graph;
}
