import { int } from "../../ir/graph.js";
import { Tensor } from "../../ir/tensor.js";
import * as e from "../../ops/emit.js";
import { adjoint, adjoints } from "./indexing.js";
import { given, type TrainingOp, type TrainingOps, type Twin } from "./training_op.js";

/** Cotangents of input, kernel and bias of a convolution, from (dy, x, w). */
const convolution = (op: "Conv" | "ConvTranspose", filterAxis: number): TrainingOp => ({
  types: convolutionTwin(filterAxis),
  lower: (c, node, inputs) => {
    const [dy, x, w] = [given(node, inputs, 0), given(node, inputs, 1), given(node, inputs, 2)];
    const wanted = node.outputs.map((o) => o !== null);
    const bias = wanted[2] ? biasLike(c.b, dy) : null;
    const results = adjoints(c, op, [x, w, bias], node.attributes, dy);
    return node.outputs.map((o, i) => (o ? (results[i] ?? null) : null));
  },
});

/** Something of the shape of the bias: its value is never read. */
const biasLike = (b: e.B, dy: e.V): e.V => {
  const [, filters] = dy.dims;
  return typeof filters === "number"
    ? b.constant(Tensor.of(dy.dtype, [filters], Array<number>(filters).fill(0)))
    : e.reduceSum(b, dy, [0, ...dy.dims.slice(2).map((_, i) => i + 2)], false);
};

function convolutionTwin(filterAxis: number): Twin {
  return (t, node, inputs) => {
    const w = given(node, inputs, 2);
    const group = t.constant(Tensor.int64s([filterAxis === 1 ? node.int("group", 1) : 1]));
    const filters = t.op("Shape", [w], { start: int(filterAxis), end: int(filterAxis + 1) });
    return [given(node, inputs, 1), w, t.filled(t.op("Mul", [filters, group]))];
  };
}

export const windows: TrainingOps = {
  ConvGrad: convolution("Conv", 0),
  ConvTransposeGrad: convolution("ConvTranspose", 1),
  // Both have the pooled value as a last input: `giveShapes` puts it there.
  MaxPoolGrad: {
    types: [2],
    lower: ({ b }, node, inputs) => {
      const [dy, places, x] = [given(node, inputs, 0), given(node, inputs, 1), given(node, inputs, 2)];
      return [e.scatterFlat(b, x, places, dy)];
    },
  },
  AveragePoolGrad: {
    types: [1],
    lower: (c, node, inputs) => [
      adjoint(c, "AveragePool", [given(node, inputs, 1)], node.attributes, given(node, inputs, 0)),
    ],
  },
  ResizeGrad: {
    types: [1],
    lower: (c, node, inputs) => [adjoint(c, "Resize", inputs.slice(1), node.attributes, given(node, inputs, 0))],
  },
};
