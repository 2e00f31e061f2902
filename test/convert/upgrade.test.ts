import { expect } from "chai";
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
import type { Model } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { upgrade } from "../../src/convert/index.js";
import { serializeModel } from "../../src/serde/index.js";
import type { DType } from "../../src/util/dtype.js";
import { array, type Array64 } from "../reference/array.js";
import { outputsOf } from "../reference/evaluate.js";
import { runOnce } from "../support/ort.js";

interface Case {
  name: string;
  opset: number;
  op: string;
  shape: number[];
  /** Further inputs, as constants. */
  constants?: Tensor[];
  attributes?: Attributes;
  outputs?: number;
  /** Dtype of the outputs, where it is not float32. */
  dtypes?: DType[];
  /** The operators of the raised graph, in order. */
  raised: string[];
  /** For opsets that the runtime does not execute: the float64 evaluator says what is right. */
  evaluated?: boolean;
}

const floats = (values: number[]): Tensor => Tensor.of("float32", [values.length], values);
const cases: Case[] = [
  ...["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare"].map((name) => ({
    name: `Reduce${name}: axes become an input`,
    opset: 13,
    op: `Reduce${name}`,
    shape: [2, 3, 2],
    attributes: { axes: ints([-1, 0]), keepdims: int(0) },
    raised: [`Reduce${name}`],
  })),
  ...(
    [
      ["Affine", ["Mul", "Add"]],
      ["ScaledTanh", ["Mul", "Tanh", "Mul"]],
      ["ParametricSoftplus", ["Mul", "Softplus", "Mul"]],
    ] as const
  ).map(([op, raised]) => ({
    name: `${op} of the first releases`,
    opset: 9,
    op,
    shape: [2, 3],
    attributes: { alpha: float(0.7), beta: float(-0.4) },
    raised: [...raised],
  })),
  {
    name: "ImageScaler of the first releases",
    opset: 9,
    op: "ImageScaler",
    shape: [1, 2, 2, 2],
    attributes: { scale: float(0.5), bias: { type: "floats", value: [1, -2] } },
    raised: ["Mul", "Add"],
  },
  { name: "no axes stay none", opset: 13, op: "ReduceMean", shape: [2, 3], raised: ["ReduceMean"] },
  {
    name: "ReduceSum: axes become an input",
    opset: 11,
    op: "ReduceSum",
    shape: [2, 3],
    attributes: { axes: ints([1]) },
    raised: ["ReduceSum"],
  },
  {
    name: "Split: sizes become an input",
    opset: 11,
    op: "Split",
    shape: [5, 2],
    attributes: { split: ints([2, 3]) },
    outputs: 2,
    raised: ["Split"],
  },
  {
    name: "Split: equal parts are counted",
    opset: 13,
    op: "Split",
    shape: [4, 2],
    outputs: 2,
    raised: ["Split"],
  },
  {
    name: "Squeeze: axes become an input",
    opset: 11,
    op: "Squeeze",
    shape: [1, 3, 1],
    attributes: { axes: ints([0]) },
    raised: ["Squeeze"],
  },
  { name: "Squeeze without axes", opset: 11, op: "Squeeze", shape: [1, 3, 1], raised: ["Squeeze"] },
  {
    name: "Unsqueeze: axes become an input",
    opset: 11,
    op: "Unsqueeze",
    shape: [2, 3],
    attributes: { axes: ints([0, 3]) },
    raised: ["Unsqueeze"],
  },
  ...["Softmax", "LogSoftmax", "Hardmax"].flatMap((op) => [
    { name: `${op}: flattened`, opset: 11, op, shape: [2, 3, 4], raised: ["Flatten", op, "Shape", "Reshape"] },
    {
      name: `${op}: over the last axis`,
      opset: 11,
      op,
      shape: [2, 3, 4],
      attributes: { axis: int(2) },
      raised: [op],
    },
    {
      name: `${op}: over everything`,
      opset: 11,
      op,
      shape: [2, 3],
      attributes: { axis: int(0) },
      raised: ["Flatten", op, "Shape", "Reshape"],
    },
  ]),
  {
    name: "Clip: bounds become inputs",
    opset: 7,
    op: "Clip",
    shape: [2, 3],
    attributes: { min: float(-0.25), max: float(0.5) },
    raised: ["Clip"],
  },
  { name: "Clip: no bounds", opset: 7, op: "Clip", shape: [2, 3], raised: ["Clip"] },
  {
    name: "Clip: an upper bound alone",
    opset: 10,
    op: "Clip",
    shape: [2, 3],
    attributes: { max: float(0.5) },
    raised: ["Clip"],
  },
  {
    name: "Pad: pads become an input",
    opset: 10,
    op: "Pad",
    shape: [2, 3],
    attributes: { pads: ints([0, 1, 2, 0]), value: float(0.75) },
    raised: ["Pad"],
  },
  {
    name: "Pad: modes",
    opset: 10,
    op: "Pad",
    shape: [3, 3],
    attributes: { pads: ints([0, 1, 2, 0]), mode: string("reflect") },
    raised: ["Pad"],
  },
  {
    name: "Slice: bounds become inputs",
    opset: 9,
    op: "Slice",
    shape: [4, 5],
    attributes: { starts: ints([1]), ends: ints([-1]), axes: ints([1]) },
    raised: ["Slice"],
  },
  {
    name: "Slice without axes",
    opset: 9,
    op: "Slice",
    shape: [4, 5],
    attributes: { starts: ints([1, 0]), ends: ints([3, 9]) },
    raised: ["Slice"],
  },
  {
    name: "TopK: k becomes an input",
    opset: 9,
    op: "TopK",
    shape: [2, 4],
    attributes: { k: int(2) },
    outputs: 2,
    dtypes: ["float32", "int64"],
    raised: ["TopK"],
  },
  {
    name: "Dropout: ratio becomes an input, and it stays off",
    opset: 10,
    op: "Dropout",
    shape: [2, 3],
    attributes: { ratio: float(0.9) },
    raised: ["Dropout"],
  },
  {
    name: "BatchNormalization of opset 7",
    opset: 7,
    op: "BatchNormalization",
    shape: [2, 3, 2, 2],
    constants: [floats([1, 2, -1]), floats([0, 1, 2]), floats([0.1, 0.2, -0.3]), floats([1, 2, 0.5])],
    attributes: { spatial: int(1) },
    raised: ["BatchNormalization"],
  },
  {
    name: "BatchNormalization of opset 9",
    opset: 9,
    op: "BatchNormalization",
    shape: [2, 3, 4],
    constants: [floats([1, 2, -1]), floats([0, 1, 2]), floats([0.1, 0.2, -0.3]), floats([1, 2, 0.5])],
    attributes: { epsilon: float(0.01) },
    raised: ["BatchNormalization"],
  },
  {
    name: "Upsample of opset 7, nearest",
    opset: 7,
    op: "Upsample",
    shape: [1, 1, 2, 3],
    attributes: { scales: { type: "floats", value: [1, 1, 2, 3] } },
    raised: ["Resize"],
  },
  {
    name: "Upsample of opset 9, linear",
    opset: 9,
    op: "Upsample",
    shape: [1, 1, 2, 3],
    constants: [floats([1, 1, 2, 2])],
    attributes: { mode: string("linear") },
    raised: ["Resize"],
  },
  {
    name: "Resize of opset 10, up",
    opset: 10,
    op: "Resize",
    shape: [1, 1, 3, 3],
    constants: [floats([1, 1, 2, 1.5])],
    raised: ["Resize"],
  },
  {
    name: "Resize of opset 10, down",
    opset: 10,
    op: "Resize",
    shape: [1, 1, 4, 6],
    constants: [floats([1, 1, 0.5, 0.4])],
    raised: ["Resize"],
  },
  {
    name: "Scatter is ScatterElements",
    opset: 9,
    op: "Scatter",
    shape: [3, 2],
    constants: [Tensor.of("int64", [1, 2], [0, 2]), Tensor.of("float32", [1, 2], [5, 6])],
    raised: ["ScatterElements"],
  },
  {
    name: "RoiAlign keeps its coordinates",
    opset: 10,
    op: "RoiAlign",
    shape: [1, 1, 6, 6],
    constants: [Tensor.of("float32", [1, 4], [0.5, 1, 4, 5]), Tensor.int64s([0])],
    attributes: { output_height: int(2), output_width: int(3) },
    raised: ["RoiAlign"],
  },
  {
    name: "GridSample: modes are renamed",
    opset: 16,
    op: "GridSample",
    shape: [1, 1, 3, 3],
    constants: [Tensor.of("float32", [1, 1, 2, 2], [-0.5, 0.3, 0.2, 0.9])],
    attributes: { mode: string("bilinear") },
    raised: ["GridSample"],
  },
  {
    name: "GridSample: the default mode",
    opset: 16,
    op: "GridSample",
    shape: [1, 1, 3, 3],
    constants: [Tensor.of("float32", [1, 1, 2, 2], [-0.5, 0.3, 0.2, 0.9])],
    raised: ["GridSample"],
  },
  {
    name: "DFT: its axis becomes an input",
    opset: 17,
    op: "DFT",
    shape: [1, 4, 3, 1],
    attributes: { axis: int(2) },
    raised: ["DFT"],
  },
  {
    name: "Swish",
    opset: 24,
    op: "Swish",
    shape: [2, 3],
    attributes: { alpha: float(1.5) },
    raised: ["Mul", "Sigmoid", "Mul"],
    evaluated: true,
  },
  {
    name: "RMSNormalization",
    opset: 23,
    op: "RMSNormalization",
    shape: [2, 3, 4],
    constants: [Tensor.of("float32", [3, 4], [1, 2, 3, 4, -1, -2, 0.5, 1, 2, 3, 1, 1])],
    attributes: { axis: int(1), epsilon: float(0.01) },
    raised: ["Mul", "ReduceMean", "Add", "Sqrt", "Reciprocal", "Mul", "Mul"],
    evaluated: true,
  },
  {
    name: "an operator that only takes more dtypes",
    opset: 25,
    op: "Tan",
    shape: [2, 3],
    raised: ["Tan"],
    evaluated: true,
  },
];

function modelOf(c: Case): Model {
  const graph = new Graph("g");
  const x = new Value("x", tensorType("float32", c.shape));
  graph.inputs.push(x);
  const constants = (c.constants ?? []).map((t, i) => {
    const v = new Value(`c${i}`, tensorType(t.dtype, t.dims));
    graph.initializers.set(v, t);
    return v;
  });
  const outputs = Array.from(
    { length: c.outputs ?? 1 },
    (_, i) => new Value(`y${i}`, tensorType(c.dtypes?.[i] ?? "float32", null)),
  );
  graph.nodes.push(new Node(c.op, [x, ...constants], outputs, c.attributes ?? {}, {}, "", "n"));
  graph.outputs.push(...outputs);
  return newModel(graph, c.opset, 8);
}

/** 0.1, 0.7, … within (−1, 1) or, where a logarithm needs it, (0, 1). */
function sampleOf(c: Case): Array64 {
  const size = c.shape.reduce((p, q) => p * q, 1);
  const positive = c.op === "ReduceLogSum";
  const data = Array.from(
    { length: size },
    (_, i) => (positive ? 0.1 : 0) + ((i * 0.37) % 1) * (i % 2 && !positive ? -1 : 1),
  );
  return array("float32", c.shape, data.map(Math.fround));
}

function expectClose(got: Record<string, Array64>, expected: Record<string, Array64>): void {
  expect(Object.keys(got)).to.deep.equal(Object.keys(expected));
  for (const [name, y] of Object.entries(expected)) {
    expect(got[name]!.dims, name).to.deep.equal(y.dims);
    y.data.forEach((v, i) => expect(got[name]!.data[i], `${name}[${i}]`).to.be.closeTo(v, 1e-5));
  }
}

describe("convert: a model raised to opset 21 computes what it did", () => {
  for (const c of cases)
    it(`${c.name} (${c.op} ${c.opset})`, async () => {
      const model = modelOf(c);
      const feeds = { x: sampleOf(c) };
      const before = c.evaluated ? outputsOf(model.graph, feeds, c.opset) : await runOnce(serializeModel(model), feeds);
      upgrade(model);
      expect(model.opsets.get("")).to.equal(21);
      expect(model.graph.nodes.map((n) => n.op)).to.deep.equal(c.raised);
      expectClose(await runOnce(serializeModel(model), feeds), before);
    });

  it("GroupNormalization: scale and bias of a group become those of its channels", async () => {
    const c: Case = {
      name: "",
      opset: 18,
      op: "GroupNormalization",
      shape: [2, 4, 3],
      attributes: { num_groups: int(2) },
      raised: [],
    };
    const grouped = modelOf({ ...c, constants: [floats([1, 2]), floats([0.5, -1])] });
    const channels = modelOf({ ...c, opset: 21, constants: [floats([1, 1, 2, 2]), floats([0.5, 0.5, -1, -1])] });
    upgrade(grouped);
    const feeds = { x: sampleOf(c) };
    expectClose(await runOnce(serializeModel(grouped), feeds), await runOnce(serializeModel(channels), feeds));
  });

  it("BatchNormalization that trained before opset 14 trains after it", () => {
    const c: Case = {
      name: "",
      opset: 9,
      op: "BatchNormalization",
      shape: [2, 2],
      constants: [floats([1, 2]), floats([0, 0]), floats([0, 0]), floats([1, 1])],
      outputs: 5,
      raised: [],
    };
    const model = modelOf(c);
    model.graph.outputs.length = 3;
    upgrade(model);
    const [node] = model.graph.nodes;
    expect(node!.int("training_mode")).to.equal(1);
    expect(node!.outputs).to.have.length(3);
  });

  it("reaches the graphs in nodes, and gives new values names of their own", async () => {
    const body = (scale: number): Graph => {
      const g = new Graph("branch");
      const mean = new Value("mean", null);
      const out = new Value(`branch${scale}`, tensorType("float32", null));
      const factor = new Value(`factor${scale}`, tensorType("float32", []));
      g.initializers.set(factor, Tensor.of("float32", [], [scale]));
      mean.name = `mean${scale}`;
      g.nodes.push(new Node("ReduceMean", [x], [mean], { axes: ints([1]) }, {}, "", "r"));
      g.nodes.push(new Node("Mul", [mean, factor], [out], {}, {}, "", "m"));
      g.outputs.push(out);
      return g;
    };
    const graph = new Graph("g");
    const x = new Value("x", tensorType("float32", [2, 2]));
    const condition = new Value("r/axes", tensorType("bool", []));
    const y = new Value("y", tensorType("float32", null));
    graph.inputs.push(x, condition);
    graph.nodes.push(new Node("If", [condition], [y], {}, { then_branch: body(2), else_branch: body(3) }, "", "if"));
    graph.outputs.push(y);
    const model = newModel(graph, 13, 8);
    const feeds = { x: array("float32", [2, 2], [1, 2, 3, 4]), "r/axes": array("bool", [], [0]) };
    const before = await runOnce(serializeModel(model), feeds);
    upgrade(model);
    expectClose(await runOnce(serializeModel(model), feeds), before);
  });
});

describe("convert: a model that cannot be raised", () => {
  const refusal = (c: Partial<Case> & { op: string; opset: number }): string => {
    try {
      upgrade(modelOf({ name: "", shape: [2, 2], raised: [], ...c }));
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };

  it("is refused with its opset, where that is too old or from the future", () => {
    expect(refusal({ op: "Relu", opset: 5 })).to.equal(
      "the model is of opset 5; 6 to 28 can be read: export it at opset 17 or 18",
    );
    expect(refusal({ op: "Relu", opset: 29 })).to.match(/^the model is of opset 29; 6 to 28 can be read/);
  });

  it("is refused with the node that has no form at opset 21", () => {
    expect(refusal({ op: "BitCast", opset: 26 })).to.match(/^BitCast "n" is an operator of opset 26/);
    expect(refusal({ op: "Cast", opset: 24, attributes: { round_mode: string("down") } })).to.match(
      /^Cast "n": round_mode = down has no form at opset 21/,
    );
    expect(refusal({ op: "BatchNormalization", opset: 7, attributes: { spatial: int(0) } })).to.match(
      /^BatchNormalization "n": spatial = 0 has no form/,
    );
    expect(refusal({ op: "Dropout", opset: 6 })).to.match(/^Dropout "n": training mode of opset 6 has no form/);
  });
});
