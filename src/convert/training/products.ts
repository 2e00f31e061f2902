import { int, tensorType, type Node } from "../../ir/graph.js";
import { Tensor } from "../../ir/tensor.js";
import * as e from "../../ops/emit.js";
import { given, type Lower, type TrainingOp, type TrainingOps } from "./training_op.js";

/** Moves the first axis before the last one: [d, b…, k] → [b…, d, k]. */
function batchFirst(b: e.B, x: e.V): e.V {
  const n = x.dims.length;
  return e.transpose(b, x, [...Array.from({ length: n - 2 }, (_, i) => i + 1), 0, n - 1]);
}

function operand(b: e.B, x: e.V, transposed: boolean, batchTransposed: boolean): e.V {
  const moved = batchTransposed && x.dims.length > 2 ? batchFirst(b, x) : x;
  return transposed && moved.dims.length > 1 ? e.transposeLast(b, moved) : moved;
}

/** α·A'·B', each operand transposed where the node says so. */
const fusedMatMul: Lower = ({ b }, node, inputs) => {
  const on = (name: string): boolean => node.int(name, 0) !== 0;
  const x = operand(b, given(node, inputs, 0), on("transA"), on("transBatchA"));
  const y = operand(b, given(node, inputs, 1), on("transB"), on("transBatchB"));
  return [e.scale(b, e.matmul(b, x, y), node.float("alpha", 1))];
};

/** x·s, or x/s with scale_down; s is one number of any type. */
const scaled: Lower = ({ b }, node, inputs) => {
  const x = given(node, inputs, 0);
  const number = e.cast(b, given(node, inputs, 1), x.dtype);
  const s =
    number.shape?.length === 0 ? number : e.reshapeTo(b, number, b.constant(e.emptyShape()), tensorType(x.dtype, []));
  return [node.int("scale_down", 0) !== 0 ? e.div(b, x, s) : e.mul(b, x, s)];
};

const factor = (node: Node, i: number): number => node.float(`scale_${i}`, 1);

/** Σ sᵢ·xᵢ. */
const scaledSum: Lower = ({ b }, node, inputs) => {
  const terms = inputs.filter((v) => v !== null).map((v, i) => e.scale(b, v, factor(node, i)));
  return [terms.reduce((sum, t) => e.add(b, sum, t))];
};

/** DivGrad(dy, x, y): dy/y and −dy·x/y², each summed down to its shape. */
const divGradient: Lower = (c, node, inputs) => {
  const { b } = c;
  const [dy, x, y] = [given(node, inputs, 0), given(node, inputs, 1), given(node, inputs, 2)];
  if (x === y) return [e.div(b, dy, y), e.neg(b, e.div(b, dy, y))];
  return c.vjp([e.div(b, x, y)], [dy], [x, y]);
};

/** √Σ of all elements of all inputs, squared. */
const norm: TrainingOp = {
  types: (t, node, inputs) => [t.op("ReduceMean", [given(node, inputs, 0)], { keepdims: int(0) })],
  lower: ({ b }, _, inputs) => {
    const squares = inputs.filter((v) => v !== null).map((v) => e.sumAll(b, e.square(b, v)));
    return [
      e.sqrt(
        b,
        squares.reduce((sum, s) => e.add(b, sum, s)),
      ),
    ];
  },
};

export const products: TrainingOps = {
  FusedMatMul: { types: "native", lower: fusedMatMul },
  Scale: { types: [0], lower: scaled },
  ScaledSum: { types: [0], lower: scaledSum },
  BatchScale: {
    types: [0, 0, 0],
    lower: ({ b }, node, inputs) =>
      node.outputs.map((o, i) => o && e.scale(b, given(node, inputs, 0), factor(node, i))),
  },
  DivGrad: { types: [1, 2], lower: divGradient },
  ReduceAllL2: norm,
  InPlaceAccumulatorV2: {
    types: [2, 0],
    // The flag says that the buffer holds a new sum: reset ? g : buffer + g.
    lower: ({ b }, node, inputs) => {
      const [buffer, g, reset] = [given(node, inputs, 0), given(node, inputs, 1), given(node, inputs, 2)];
      return [b.constant(Tensor.of("bool", [1], [1])), e.where(b, reset, g, e.add(b, buffer, g))];
    },
  },
};
