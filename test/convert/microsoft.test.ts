import { expect } from "chai";
import { upgrade } from "../../src/convert/index.js";
import {
  float,
  Graph,
  int,
  ints,
  newModel,
  Node,
  string,
  tensorType,
  Value,
  type Attributes,
} from "../../src/ir/graph.js";
import { uniform } from "../ops/check_sample.js";
import { array, transpose, type Array64 } from "../reference/array.js";
import { outputsOf } from "../reference/evaluate.js";

interface Case {
  op: string;
  shapes: number[][];
  attributes?: Attributes;
  /** The same in operators of ONNX. */
  expected: (run: Run, inputs: Array64[]) => Array64;
}

type Run = (op: string, inputs: Array64[], attributes?: Attributes) => Array64;

const draw = (name: string, dims: number[]): Array64 => {
  const random = uniform(name);
  const size = dims.reduce((n, d) => n * d, 1);
  return array(
    "float32",
    dims,
    Array.from({ length: size }, () => 2 * random() - 1),
  );
};

function graphOf(op: string, inputs: readonly Array64[], attributes: Attributes, domain: string) {
  const graph = new Graph("g");
  graph.inputs = inputs.map((x, i) => new Value(`x${i}`, tensorType(x.dtype, x.dims)));
  const y = new Value("y", null);
  graph.outputs = [y];
  graph.nodes = [new Node(op, [...graph.inputs], [y], attributes, {}, domain, "node")];
  return graph;
}

const feeds = (inputs: readonly Array64[]) => Object.fromEntries(inputs.map((x, i) => [`x${i}`, x]));

const run: Run = (op, inputs, attributes = {}) => outputsOf(graphOf(op, inputs, attributes, ""), feeds(inputs)).y!;

const [first, last] = [
  [0, 3, 1, 2],
  [0, 2, 3, 1],
];

const cases: Case[] = [
  {
    op: "BiasAdd",
    shapes: [[2, 3], [3], [2, 3]],
    expected: (f, [x, b, s]) => f("Add", [f("Add", [x!, b!]), s!]),
  },
  {
    op: "BiasSplitGelu",
    shapes: [[2, 2, 6], [6]],
    expected: (f, [x, b]) => {
      const [size, sum] = [3, f("Add", [x!, b!])];
      const half = (from: number): Array64 =>
        array(
          "float32",
          [2, 2, 3],
          [...sum.data].filter((_, i) => i % 6 >= from && i % 6 < from + size),
        );
      return f("Mul", [half(0), f("Gelu", [half(3)])]);
    },
  },
  {
    op: "GemmFastGelu",
    shapes: [[2, 3], [3, 2], [2]],
    expected: (f, [x, w, b]) => f("Gelu", [f("Add", [f("MatMul", [x!, w!]), b!])], { approximate: string("tanh") }),
  },
  {
    op: "NhwcConv",
    shapes: [[1, 3, 3, 2], [4, 2, 2, 2], [4]],
    attributes: { pads: ints([1, 0, 0, 1]) },
    expected: (f, [x, w, b]) =>
      transpose(f("Conv", [transpose(x!, first), transpose(w!, first), b!], { pads: ints([1, 0, 0, 1]) }), last),
  },
  {
    op: "GroupNorm",
    shapes: [[1, 2, 2, 4], [4], [4]],
    attributes: { groups: int(2), activation: int(1), epsilon: float(0.01) },
    expected: (f, [x, g, b]) => {
      const y = f("GroupNormalization", [transpose(x!, first), g!, b!], { num_groups: int(2), epsilon: float(0.01) });
      return transpose(f("Mul", [y, f("Sigmoid", [y])]), last);
    },
  },
];

describe("convert: ONNX Runtime's operators that its CPU provider lacks", () => {
  for (const { op, shapes, attributes = {}, expected } of cases)
    it(op, () => {
      const inputs = shapes.map((dims, i) => draw(`${op}${i}`, dims));
      const model = newModel(graphOf(op, inputs, attributes, "com.microsoft"));
      model.opsets.set("com.microsoft", 1);
      upgrade(model);
      expect(model.graph.nodes.every((n) => n.domain === "")).to.equal(true);
      const got = outputsOf(model.graph, feeds(inputs)).y!;
      const wanted = expected(run, inputs);
      expect(got.dims).to.deep.equal(wanted.dims);
      got.data.forEach((v, i) => expect(v).to.be.closeTo(wanted.data[i]!, 1e-12));
    });
});
