import { float, int, ints, tensorType, Value, type Graph } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";
import { array, type Array64 } from "../reference/array.js";

/**
 * A layer of each kind that has Kronecker factors, with what surrounds them: ids → embedding → sum; images → convolution →
 * tanh → Gemm; logits are their sum, through a MatMul whose weight is stored transposed. Inputs: ids [batch, 3], images
 * [batch, 2, 5, 4]; 2 outputs. The gain is a parameter of no layer, `tied.weight` is read twice.
 */
export function threeLayers(): Graph {
  const b = newBuilder("three_layers");
  const ids = b.input("ids", tensorType("int64", ["batch", 3]));
  const images = b.input("images", tensorType("float32", ["batch", 2, 5, 4]));
  const parameter = (name: string, dims: number[]): Value => {
    const size = dims.reduce((n, d) => n * d, 1);
    const values = Array.from({ length: size }, (_, i) => 0.6 * Math.sin(1.7 * i + name.length));
    const value = new Value(name, tensorType("float32", dims));
    b.graph.initializers.set(value, Tensor.of("float32", dims, values));
    return value;
  };
  const type = (shape: (number | string)[]) => ({ types: [tensorType("float32", shape)] });
  const table = b.op("Gather", [parameter("table.weight", [7, 4]), ids], { axis: int(0) });
  const tied = parameter("tied.weight", [4, 4]);
  const mixed = b.op("MatMul", [b.op("Tanh", [b.op("MatMul", [table, tied])]), tied]);
  const pooled = b.op("ReduceMean", [mixed, b.int64s([1])], { keepdims: int(0) });
  const convolved = b.op(
    "Conv",
    [images, parameter("conv.weight", [3, 2, 2, 3]), parameter("conv.bias", [3])],
    { strides: ints([2, 1]), pads: ints([1, 0, 0, 1]), kernel_shape: ints([2, 3]) },
    type(["batch", 3, 3, 3]),
  );
  const flat = b.op("Flatten", [b.op("Tanh", [convolved])], { axis: int(1) }, type(["batch", 27]));
  const hidden = b.op(
    "Gemm",
    [flat, parameter("dense.weight", [4, 27]), parameter("dense.bias", [4])],
    { transB: int(1), alpha: float(1) },
    type(["batch", 4]),
  );
  const sum = b.op("Mul", [b.op("Add", [b.op("Tanh", [hidden]), pooled]), parameter("gain", [4])]);
  const weight = b.op("Transpose", [parameter("head.weight", [2, 4])], { perm: ints([1, 0]) });
  b.output(b.op("Add", [b.op("MatMul", [sum, weight]), parameter("head.bias", [2])]), "logits");
  return b.graph;
}

/** Batch `t` of four rows for `threeLayers`; `id` gives the i-th id. */
export function threeLayersBatch(t: number, id: (i: number) => number): Record<string, Array64> {
  const values = (length: number, f: (i: number) => number): number[] => Array.from({ length }, (_, i) => f(i));
  return {
    ids: array("int64", [4, 3], values(12, id)),
    images: array(
      "float32",
      [4, 2, 5, 4],
      values(160, (i) => Math.sin(2.3 * i + t)),
    ),
    labels: array(
      "float32",
      [4, 2],
      values(8, (i) => Math.cos(0.7 * i - t)),
    ),
  };
}
