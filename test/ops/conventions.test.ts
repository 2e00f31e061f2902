import { expect } from "chai";
import { jvp } from "../../src/autodiff/forward.js";
import { vjp } from "../../src/autodiff/reverse.js";
import { float, int, newModel, string, tensorType, type Attributes, type Value } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import type { OpName } from "../../src/ops/names.js";
import { serializeModel } from "../../src/serde/index.js";
import type { DType } from "../../src/util/dtype.js";
import { array, type Array64 } from "../reference/array.js";
import { outputsOf } from "../reference/evaluate.js";
import { runOnce } from "../support/ort.js";

interface Point {
  op: OpName;
  name: string;
  inputs: readonly { dims: readonly number[]; data: readonly number[]; constant?: boolean }[];
  attributes?: Attributes;
  axes?: readonly number[];
  cotangent?: readonly number[];
  /** PyTorch's gradient by each input that is not constant. */
  expected: readonly (readonly number[])[];
  /** The second derivative is infinite there, as it should be. */
  singular?: boolean;
}

const vector = (...data: number[]) => ({ dims: [data.length], data });
const rows = (...data: number[][]) => ({ dims: [data.length, data[0]!.length], data: data.flat() });
const last: Partial<Point> = { axes: [1], attributes: { keepdims: int(0) } };

/** Kinks, ties and saturation: PyTorch 2's gradients in float64 of the sum of the output (or ⟨cotangent, output⟩). */
const points: readonly Point[] = [
  { op: "Relu", name: "kink", inputs: [vector(-1, 0, 1, -100, 100)], expected: [[0, 0, 1, 0, 1]] },
  { op: "Abs", name: "kink", inputs: [vector(-1, 0, 1)], expected: [[-1, 0, 1]] },
  { op: "Sign", name: "kink", inputs: [vector(-1, 0, 1)], expected: [[0, 0, 0]] },
  {
    op: "LeakyRelu",
    name: "kink",
    inputs: [vector(-1, 0, 1)],
    attributes: { alpha: float(0.125) },
    expected: [[0.125, 0.125, 1]],
  },
  { op: "PRelu", name: "kink", inputs: [vector(-1, 0, 1), vector(0.25)], expected: [[0.25, 0.25, 1], [-1]] },
  { op: "Elu", name: "saturation", inputs: [vector(-100, 0, 100)], expected: [[0, 1, 1]] },
  { op: "Selu", name: "saturation", inputs: [vector(-100, 100)], expected: [[0, 1.0507010221481323]] },
  { op: "Celu", name: "saturation", inputs: [vector(-100, 0, 100)], expected: [[0, 1, 1]] },
  {
    op: "Softplus",
    name: "saturation",
    inputs: [vector(-100, -20, 0, 100)],
    expected: [[0, 2.0611536181902033e-9, 0.5, 1]],
  },
  { op: "Sigmoid", name: "saturation", inputs: [vector(-100, 0, 100)], expected: [[0, 0.25, 0]] },
  { op: "Tanh", name: "saturation", inputs: [vector(-100, 0, 100)], expected: [[0, 1, 0]] },
  { op: "Mish", name: "saturation", inputs: [vector(-100, 0, 100)], expected: [[0, 0.6, 1]] },
  { op: "Gelu", name: "saturation", inputs: [vector(-40, 0, 40)], expected: [[0, 0.5, 1]] },
  {
    op: "Gelu",
    name: "tanh, saturation",
    inputs: [vector(-40, 0, 40)],
    attributes: { approximate: string("tanh") },
    expected: [[0, 0.5, 1]],
  },
  { op: "Erf", name: "saturation", inputs: [vector(-40, 0, 40)], expected: [[0, 1.1283791670955126, 0]] },
  { op: "HardSwish", name: "saturation", inputs: [vector(-100, 0, 100)], expected: [[0, 0.5, 1]] },
  {
    op: "Softsign",
    name: "saturation",
    inputs: [vector(-100, 0, 100)],
    expected: [[9.80296049406925e-5, 1, 9.80296049406925e-5]],
  },
  {
    op: "Max",
    name: "tie",
    inputs: [vector(1, 2), vector(1, 3)],
    expected: [
      [0.5, 0],
      [0.5, 1],
    ],
  },
  {
    op: "Min",
    name: "tie",
    inputs: [vector(1, 2), vector(1, 3)],
    expected: [
      [0.5, 1],
      [0.5, 0],
    ],
  },
  { ...last, op: "ReduceMax", name: "ties", inputs: [rows([1, 1, 0], [2, 1, 0])], expected: [[0.5, 0.5, 0, 1, 0, 0]] },
  { ...last, op: "ReduceMin", name: "ties", inputs: [rows([1, 1, 3], [2, 1, 3])], expected: [[0.5, 0.5, 0, 0, 1, 0]] },
  {
    ...last,
    op: "ReduceProd",
    name: "zeros",
    inputs: [rows([0, 2, 3], [0, 0, 3], [1, 2, 3])],
    expected: [[6, 0, 0, 0, 0, 0, 6, 3, 2]],
  },
  { ...last, op: "ReduceL1", name: "zero", inputs: [rows([0, 0], [3, -4])], expected: [[0, 0, 1, -1]] },
  {
    ...last,
    op: "ReduceL2",
    name: "zero",
    inputs: [rows([0, 0], [3, 4])],
    expected: [[0, 0, 0.6, 0.8]],
    singular: true,
  },
  {
    ...last,
    op: "ReduceLogSumExp",
    name: "large",
    inputs: [rows([100, 100], [-100, -100])],
    expected: [[0.5, 0.5, 0.5, 0.5]],
  },
  { op: "Softmax", name: "large", inputs: [vector(1000, 0, -1000)], cotangent: [1, 2, 3], expected: [[0, 0, 0]] },
  { op: "LogSoftmax", name: "large", inputs: [vector(1000, 0, -1000)], expected: [[-2, 1, 1]] },
  {
    op: "Pow",
    name: "zero and negative bases",
    inputs: [vector(0, 0, 0, -2), { ...vector(2, 1, 0, 3), constant: true }],
    expected: [[0, 1, 0, 12]],
    singular: true,
  },
  {
    op: "Pow",
    name: "zero base, both gradients",
    inputs: [vector(0, 0), vector(2, 0)],
    expected: [
      [0, 0],
      [0, 0],
    ],
    singular: true,
  },
];

/** Gradients and a Hessian-vector product at the point, as a graph and its feeds. */
function emit(point: Point, dtype: DType) {
  const b = newBuilder(point.op);
  const feeds: Record<string, Array64> = {};
  const feed = (name: string, x: Array64): Value => {
    feeds[name] = x;
    return b.input(name, tensorType(x.dtype, x.dims));
  };
  const inputs = point.inputs.map((x, i) => feed(`x${i}`, array(dtype, x.dims, x.data)));
  const xs = inputs.filter((_, i) => !point.inputs[i]!.constant);
  const y = b.op(point.op, point.axes ? [...inputs, b.int64s(point.axes)] : inputs, point.attributes ?? {});
  const size = y.dims.reduce<number>((n, d) => n * Number(d), 1);
  const c = feed("c", array(dtype, y.dims.map(Number), point.cotangent ?? Array<number>(size).fill(1)));
  const gradients = vjp(b, [y], [c], xs);
  const tangents = new Map(
    xs.map((x, i) => [
      x,
      feed(
        `v${i}`,
        array(
          dtype,
          x.dims.map(Number),
          feeds[x.name]!.data.map(() => 1),
        ),
      ),
    ]),
  );
  const hvp = point.singular ? [] : jvp(b, gradients, tangents);
  gradients.forEach((g, i) => g && b.output(g, `g${i}`));
  hvp.forEach((h, i) => h && b.output(h, `h${i}`));
  return { graph: b.graph, feeds };
}

function expectPoint(point: Point, outputs: Record<string, Array64>, tolerance: number): void {
  const { inputs, expected } = point;
  const xs = inputs.filter((x) => !x.constant);
  expected.forEach((numbers, i) => {
    const got = outputs[`g${i}`]?.data ?? new Float64Array(xs[i]!.data.length);
    numbers.forEach((e, j) => expect(got[j], `gradient ${i}, element ${j}`).to.be.closeTo(e, tolerance));
  });
  for (const [name, x] of Object.entries(outputs))
    expect(Array.from(x.data).every(Number.isFinite), name).to.equal(true);
}

describe("derivatives at kinks, ties and saturation are PyTorch's", () => {
  for (const point of points)
    it(`${point.op}: ${point.name}`, async () => {
      const exact = emit(point, "float64");
      expectPoint(point, outputsOf(exact.graph, exact.feeds), 1e-12);
      const single = emit(point, "float32");
      if (single.graph.outputs.length > 0)
        expectPoint(point, await runOnce(serializeModel(newModel(single.graph)), single.feeds), 1e-5);
    });
});
