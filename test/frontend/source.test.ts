import { expect } from "chai";
import { findParameters } from "../../src/frontend/parameters.js";
import { Graph, Node, tensorType, Value } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { findSource } from "../../src/frontend/source.js";
import { rejects } from "../support/rejects.js";
import { twoLayers } from "../support/two_layers.js";

const loss = { kind: "cross-entropy" } as const;

describe("what a model's training needs", () => {
  it("finds the initializers that reach the loss, and no constant", () => {
    const graph = twoLayers();
    graph.initializers.set(new Value("unused.weight", tensorType("float32", [2])), Tensor.of("float32", [2], [1, 2]));
    const { parameters } = findSource(graph, { loss });
    expect(parameters.map((p) => p.name)).to.deep.equal(["first.weight", "first.bias", "second.weight", "second.bias"]);
    expect(parameters.every((p) => p.trainable && p.group === "default")).to.equal(true);
  });

  it("freezes and trains by name, and groups by name", () => {
    const { parameters } = findSource(twoLayers(), {
      loss,
      freeze: (n) => n.startsWith("first."),
      group: (n) => (n.endsWith("bias") ? "no_decay" : "default"),
    });
    expect(parameters.filter((p) => p.trainable).map((p) => p.name)).to.deep.equal(["second.weight", "second.bias"]);
    expect(parameters.map((p) => p.group)).to.deep.equal(["default", "no_decay", "default", "no_decay"]);
  });

  it("says so where nothing is left to train", async () => {
    await rejects(() => findSource(twoLayers(), { loss, freeze: () => true }), "all 4 are frozen");
    const graph = twoLayers();
    for (const [v] of graph.initializers) graph.inputs.push(v);
    graph.initializers.clear();
    await rejects(() => findSource(graph, { loss }), "no trainable parameter");
  });

  it("suggests names near an absent output", async () => {
    await rejects(
      () => findSource(twoLayers(), { loss: { ...loss, logits: "logit" } }),
      '"logit"',
      'did you mean "logits"?',
    );
  });

  it("renames an input that is called labels", () => {
    const graph = twoLayers();
    const [x] = graph.inputs;
    if (x) x.name = "labels";
    expect([...findSource(graph, { loss }).inputs.keys()]).to.deep.equal(["labels_input"]);
  });

  it("takes the model's own loss only where it is a scalar", async () => {
    const graph = twoLayers();
    await rejects(() => findSource(graph, { loss: { kind: "output", output: "logits" } }), "a loss is a scalar");
    const [logits] = graph.outputs;
    const total = new Value("loss", tensorType("float32", []));
    graph.nodes.push(new Node("ReduceSum", [logits ?? null], [total], { keepdims: { type: "int", value: 0n } }));
    graph.outputs.push(total);
    const source = findSource(graph, { loss: { kind: "output", output: "loss" } });
    expect([...source.outputs.keys()]).to.deep.equal(["logits"]);
    expect(source.parameters.length).to.equal(4);
  });

  it("names weights that an exporter folded, from the bias beside them or the path of their node", () => {
    const graph = twoLayers();
    const [first, , second, bias] = [...graph.initializers.keys()];
    if (first) first.name = "onnx::MatMul_17";
    if (second) second.name = "onnx::MatMul_18";
    if (bias) bias.name = "onnx::Add_19";
    const products = graph.nodes.filter((n) => n.op === "MatMul");
    if (products[1]) products[1].name = "/classifier/out_proj/MatMul";
    const { parameters } = findSource(graph, { loss });
    expect(parameters.map((p) => [p.name, p.initializer, p.transposed])).to.deep.equal([
      ["first.weight", "onnx::MatMul_17", true],
      ["first.bias", "first.bias", false],
      ["classifier.out_proj.weight", "onnx::MatMul_18", true],
    ]);
  });

  it("names weights and biases of convolutions into which an exporter folded batch norms", () => {
    const graph = new Graph("g");
    const x = new Value("x", tensorType("float32", [2, 3, 4, 4]));
    const [hidden, logits] = ["hidden", "logits"].map((name) => new Value(name, tensorType("float32", [2, 3, 4, 4])));
    const folded = (name: string, dims: number[]): Value => {
      const v = new Value(name, tensorType("float32", dims));
      graph.initializers.set(v, Tensor.of("float32", dims, Array<number>(dims.reduce((n, d) => n * d, 1)).fill(0.1)));
      return v;
    };
    graph.inputs.push(x);
    for (const [name, from, to, first] of [
      ["/conv1/Conv", x, hidden!, 61],
      ["/layer1/layer1.0/down/down.0/Conv", hidden!, logits!, 64],
    ] as const) {
      const weights = [folded(`onnx::Conv_${first}`, [3, 3, 1, 1]), folded(`onnx::Conv_${first + 1}`, [3])];
      graph.nodes.push(new Node("Conv", [from, ...weights], [to], {}, {}, "", name));
    }
    graph.outputs.push(logits!);
    expect(findParameters(graph, graph.outputs).map((p) => [p.name, p.initializer, p.transposed])).to.deep.equal([
      ["conv1.weight", "onnx::Conv_61", false],
      ["conv1.bias", "onnx::Conv_62", false],
      ["layer1.0.down.0.weight", "onnx::Conv_64", false],
      ["layer1.0.down.0.bias", "onnx::Conv_65", false],
    ]);
  });

  it("keeps the name of what is called like a folded bias and is none", () => {
    const graph = twoLayers();
    const [first, bias] = [...graph.initializers.keys()];
    first!.name = "body.weight";
    bias!.name = "body.weight_bias";
    expect(findParameters(graph, graph.outputs).map((p) => p.name)).to.include("body.weight_bias");
  });

  it("names a folded weight from the scopes that torch.export keeps beside a node", () => {
    const graph = twoLayers();
    const [first, bias] = [...graph.initializers.keys()];
    if (first) first.name = "val_17";
    if (bias) bias.name = "val_18";
    const product = graph.nodes.find((n) => n.op === "MatMul");
    if (product) product.metadata = new Map([["pkg.torch.onnx.name_scopes", "['', 'body', 'body.first', 'linear']"]]);
    const { parameters } = findSource(graph, { loss });
    expect(parameters.map((p) => p.name)).to.deep.equal(["body.first.weight", "second.weight", "second.bias"]);
  });

  it("takes no constant of a module's code for a parameter", () => {
    const graph = twoLayers();
    const [, bias] = [...graph.initializers.keys()];
    if (bias) bias.name = "/model/rotary_emb/Constant_1_output_0";
    const names = findSource(graph, { loss }).parameters.map((p) => p.name);
    expect(names).to.deep.equal(["first.weight", "second.weight", "second.bias"]);
  });
});
