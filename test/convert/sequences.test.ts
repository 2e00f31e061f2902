import { expect } from "chai";
import { Graph, int, newModel, Node, tensorType, Value, type Attributes, type Model } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { unpackSequences } from "../../src/convert/index.js";
import { serializeModel } from "../../src/serde/index.js";
import { array } from "../reference/array.js";
import { runOnce } from "../support/ort.js";

const feeds = { x: array("float32", [2, 5], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) };

function constant(graph: Graph, name: string, tensor: Tensor): Value {
  const v = new Value(name, tensorType(tensor.dtype, tensor.dims));
  graph.initializers.set(v, tensor);
  return v;
}

/** The elements at `indices` of a sequence that `op` makes of x, as outputs. */
function taking(op: string, split: Tensor | null, attributes: Attributes, indices: readonly number[]): Model {
  const graph = new Graph("g");
  const x = new Value("x", tensorType("float32", [2, 5]));
  const pieces = new Value("pieces", null);
  graph.inputs.push(x);
  const inputs = op === "SequenceConstruct" ? [x, constant(graph, "other", Tensor.of("float32", [1], [7]))] : [x];
  if (split) inputs.push(constant(graph, "split", split));
  graph.nodes.push(new Node(op, inputs, [pieces], attributes, {}, "", "make"));
  for (const i of indices) {
    const y = new Value(`y${i}`, tensorType("float32", null));
    const at = constant(graph, `i${i}`, Tensor.of("int64", [], [i]));
    graph.nodes.push(new Node("SequenceAt", [pieces, at], [y], {}, {}, "", `take${i}`));
    graph.outputs.push(y);
  }
  return newModel(graph);
}

const scalar = (n: number): Tensor => Tensor.of("int64", [], [n]);
const axis = int(1);
const cases = [
  {
    name: "chunks of one size, of which the last is smaller",
    model: taking("SplitToSequence", scalar(2), { axis }, [2, 0]),
    ops: ["Slice", "Slice"],
  },
  {
    name: "chunks counted from the end, of a size that is known",
    model: taking("SplitToSequence", scalar(2), { axis }, [-1]),
    ops: ["Slice"],
  },
  {
    name: "given sizes, counted from both ends",
    model: taking("SplitToSequence", Tensor.int64s([1, 3, 1]), { axis: int(-1) }, [1, -1]),
    ops: ["Split"],
  },
  { name: "single columns", model: taking("SplitToSequence", null, { axis }, [3, 4]), ops: ["Slice", "Slice"] },
  {
    name: "single columns without their axis",
    model: taking("SplitToSequence", null, { axis, keepdims: int(0) }, [3]),
    ops: ["Slice", "Squeeze"],
  },
  { name: "a list of tensors", model: taking("SequenceConstruct", null, {}, [1, -2]), ops: [] },
];

describe("convert: sequences become the elements that are taken", () => {
  for (const { name, model, ops } of cases) {
    it(name, async () => {
      const before = await runOnce(serializeModel(model), feeds);
      unpackSequences(model);
      expect(model.graph.nodes.map((n) => n.op).filter((op) => op !== "Identity")).to.deep.equal(ops);
      expect(await runOnce(serializeModel(model), feeds)).to.deep.equal(before);
    });
  }

  it("and optionals what they are made of", async () => {
    const graph = new Graph("g");
    const x = new Value("x", tensorType("float32", [2, 5]));
    const [optional, y, z] = ["optional", "y", "z"].map((name) => new Value(name, null)) as [Value, Value, Value];
    graph.inputs.push(x);
    graph.nodes.push(
      new Node("Optional", [x], [optional], {}, {}, "", "make"),
      new Node("OptionalGetElement", [optional], [y], {}, {}, "", "take"),
      new Node("OptionalGetElement", [x], [z], {}, {}, "", "take a tensor"),
    );
    y.type = z.type = tensorType("float32", [2, 5]);
    graph.outputs.push(y, z);
    const model = newModel(graph);
    unpackSequences(model);
    expect(graph.nodes.map((n) => [n.op, n.input(0).name])).to.deep.equal([
      ["Identity", "x"],
      ["Identity", "x"],
    ]);
    expect(await runOnce(serializeModel(model), feeds)).to.deep.equal({ y: feeds.x, z: feeds.x });
  });

  it("put in and taken out, joined, counted and mapped", async () => {
    const graph = new Graph("g");
    const x = new Value("x", tensorType("float32", [2, 5]));
    const [zero, last] = [constant(graph, "zero", scalar(0)), constant(graph, "last", scalar(-1))];
    const emit = (op: string, inputs: Value[], attributes: Attributes = {}, bodies = {}): Value => {
      const y = new Value(`${op}_${graph.nodes.length}`, null);
      graph.nodes.push(new Node(op, inputs, [y], attributes, bodies, "", y.name));
      return y;
    };
    graph.inputs.push(x);
    const body = new Graph("body");
    const [item, result] = [
      new Value("item", tensorType("float32", null)),
      new Value("result", tensorType("float32", null)),
    ];
    body.inputs.push(item);
    body.nodes.push(new Node("Add", [item, x], [result], {}, {}, "", "sum"));
    body.outputs.push(result);
    const tripled = emit("Add", [emit("Add", [x, x]), x]);
    // [3x, x, 2x], then [3x, 2x], then [4x, 3x].
    const list = emit("SequenceInsert", [emit("SequenceInsert", [emit("SequenceEmpty", []), x]), emit("Add", [x, x])]);
    const longer = emit("SequenceInsert", [list, tripled, zero]);
    const shorter = emit("SequenceErase", [longer, constant(graph, "one", scalar(1))]);
    const mapped = emit("SequenceMap", [shorter], {}, { body });
    const outputs = [
      emit("ConcatFromSequence", [mapped], { axis: int(0) }),
      emit("ConcatFromSequence", [mapped], { axis: int(-1), new_axis: int(1) }),
      emit("SequenceLength", [shorter]),
      emit("SequenceAt", [mapped, last]),
    ];
    outputs.forEach((o, i) => (o.type = tensorType(i === 2 ? "int64" : "float32", null)));
    graph.outputs.push(...outputs);
    const model = newModel(graph);
    const before = await runOnce(serializeModel(model), feeds);
    expect([...before[outputs[3]!.name]!.data]).to.deep.equal([...feeds.x.data].map((v) => 3 * v));
    unpackSequences(model);
    expect(graph.nodes.map((n) => n.op).filter((op) => op.includes("Sequence"))).to.deep.equal([]);
    expect(await runOnce(serializeModel(model), feeds)).to.deep.equal(before);
  });

  it("stay where the chunk counts from an end that is not known, or where more than elements is asked for", () => {
    const fromEnd = taking("SplitToSequence", scalar(2), { axis }, [-1]);
    const counted = taking("SplitToSequence", scalar(2), { axis }, [0]);
    for (const { graph } of [fromEnd, counted]) graph.inputs[0]!.type = tensorType("float32", ["batch", "length"]);
    const pieces = counted.graph.nodes[0]!.output();
    const length = new Value("length", tensorType("int64", []));
    counted.graph.nodes.push(new Node("SequenceLength", [pieces], [length]));
    counted.graph.outputs.push(length);
    for (const model of [fromEnd, counted]) {
      unpackSequences(model);
      expect(model.graph.nodes[0]!.op).to.equal("SplitToSequence");
    }
  });
});
