import { expect } from "chai";
import {
  float,
  Graph,
  int,
  ints,
  newModel,
  Node,
  tensorType,
  Value,
  type FunctionDef,
  type Model,
} from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { inlineFunctions, upgrade } from "../../src/convert/index.js";
import { serializeModel } from "../../src/serde/index.js";
import { array } from "../reference/array.js";
import { runOnce } from "../support/ort.js";

const value = (name: string): Value => new Value(name, null);

function define(name: string, body: Graph, rest: Partial<FunctionDef> = {}): FunctionDef {
  const opsets = new Map([
    ["", 13],
    ["local", 1],
  ]);
  return {
    domain: "local",
    name,
    overload: "",
    body,
    attributes: [],
    attributeDefaults: {},
    opsets,
    doc: "",
    metadata: new Map(),
    ...rest,
  };
}

/** scaled(x) = α·mean(x, axes), with α of default 2. */
function scaledMean(): FunctionDef {
  const g = new Graph("scaled");
  const [x, mean, alpha, out] = ["x", "mean", "alpha", "out"].map(value) as [Value, Value, Value, Value];
  g.inputs.push(x);
  g.nodes.push(
    new Node("ReduceMean", [x], [mean], { axes: { type: "reference", value: "axes", of: "ints" } }),
    new Node("Constant", [], [alpha], { value_float: { type: "reference", value: "alpha", of: "float" } }),
    new Node("Mul", [mean, alpha], [out]),
  );
  g.outputs.push(out);
  return define("scaled", g, { attributes: ["axes"], attributeDefaults: { alpha: float(2) } });
}

/** twice(x, y?) = scaled(x) + scaled(x; α = 3), and a copy of x; the input y is not read. */
function twice(): FunctionDef {
  const g = new Graph("twice");
  const [x, y, first, second] = ["x", "y", "first", "second"].map(value) as [Value, Value, Value, Value];
  const [out, same] = ["out", "same"].map(value) as [Value, Value];
  g.inputs.push(x, y);
  g.nodes.push(
    new Node("scaled", [x], [first], { axes: ints([1]) }, {}, "local", "call"),
    new Node("scaled", [x], [second], { axes: ints([1]), alpha: float(3) }, {}, "local", "again"),
    new Node("Add", [first, second], [out]),
    new Node("Identity", [x], [same]),
  );
  g.outputs.push(out, same);
  return define("twice", g);
}

function caller(functions: FunctionDef[], op = "twice", opset = 18): Model {
  const graph = new Graph("g");
  const x = new Value("x", tensorType("float32", [2, 2]));
  const outputs = ["out", "same"].map((n) => new Value(n, tensorType("float32", null)));
  graph.inputs.push(x);
  graph.nodes.push(new Node(op, [x], outputs, {}, {}, "local", "main"));
  graph.outputs.push(...outputs);
  const model = newModel(graph, opset, 8);
  model.opsets.set("local", 1);
  model.functions = functions;
  return model;
}

const feeds = { x: array("float32", [2, 2], [1, 2, 3, 4]) };

describe("convert: functions are inlined", () => {
  it("with nested calls, attribute references, defaults, inputs left out, and an older opset of their own", async () => {
    const model = caller([twice(), scaledMean()], "twice", 13);
    const before = await runOnce(serializeModel(model), feeds);
    inlineFunctions(model);
    expect(model.functions).to.have.length(0);
    expect([...model.opsets]).to.deep.equal([["", 13]]);
    const names = model.graph.nodes.flatMap((n) => [n.name, ...n.outputs.map((o) => o!.name)]);
    expect(new Set(names).size).to.equal(names.length);
    expect(await runOnce(serializeModel(model), feeds)).to.deep.equal(before);
    expect([...before["out"]!.data]).to.deep.equal([7.5, 17.5]);
  });

  it("and raised to the opset of the model", async () => {
    const model = caller([twice(), scaledMean()], "twice", 18);
    upgrade(model);
    expect(model.graph.nodes.map((n) => n.op)).to.include.members(["ReduceMean", "Identity"]);
    expect(await runOnce(serializeModel(model), feeds)).to.have.keys("out", "same");
  });

  it("inside the graphs of nodes, whose own values are renamed too", async () => {
    const g = new Graph("choose");
    const [x, yes, out] = ["x", "yes", "out"].map(value) as [Value, Value, Value];
    const branch = (factor: number): Graph => {
      const b = new Graph("branch");
      const [c, y] = ["c", "y"].map(value) as [Value, Value];
      b.initializers.set(c, Tensor.of("float32", [], [factor]));
      b.nodes.push(new Node("Mul", [x, c], [y]));
      b.outputs.push(y);
      return b;
    };
    g.inputs.push(x);
    g.nodes.push(
      new Node("Constant", [], [yes], { value: { type: "tensor", value: Tensor.of("bool", [], [1]) } }),
      new Node("If", [yes], [out], {}, { then_branch: branch(2), else_branch: branch(3) }),
    );
    g.outputs.push(out, x);
    const model = caller([define("choose", g)], "choose", 13);
    model.graph.nodes.push(
      new Node("choose", [model.graph.outputs[0]!], [value("again"), null], {}, {}, "local", "main"),
    );
    model.graph.outputs.push(model.graph.nodes[1]!.outputs[0]!);
    model.graph.outputs[2]!.type = tensorType("float32", null);
    inlineFunctions(model);
    const results = await runOnce(serializeModel(model), feeds);
    expect([...results["again"]!.data]).to.deep.equal([4, 8, 12, 16]);
  });

  it("unless one calls itself", () => {
    const g = new Graph("loop");
    const [x, out] = ["x", "out"].map(value) as [Value, Value];
    g.inputs.push(x);
    g.nodes.push(new Node("loop", [x], [out], { n: int(1) }, {}, "local", "inner"));
    g.outputs.push(out, x);
    expect(() => inlineFunctions(caller([define("loop", g)], "loop", 13))).to.throw(
      'local::loop "main/inner": the function calls itself, through loop',
    );
  });
});
