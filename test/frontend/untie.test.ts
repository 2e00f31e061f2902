import { expect } from "chai";
import { Node, tensorType, Value, type Graph } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { findSource } from "../../src/frontend/source.js";
import { untieConstants } from "../../src/frontend/untie.js";
import { twoLayers } from "../support/two_layers.js";

/** Puts `from` through an Identity called `name` where `node` reads its input 1: what the TorchScript exporter leaves. */
function merge(graph: Graph, op: number, from: string, name: string): void {
  const shared = [...graph.initializers.keys()].find((v) => v.name === from)!;
  const copy = new Value(name, shared.type);
  const reader = graph.nodes.filter((n) => n.op === "Add")[op]!;
  graph.initializers.delete(reader.input(1));
  reader.inputs[1] = copy;
  graph.nodes.unshift(new Node("Identity", [shared], [copy], {}, {}, "", name));
}

function merged(values: number[], name = "second.bias"): Graph {
  const graph = twoLayers();
  const bias = [...graph.initializers.keys()].find((v) => v.name === "first.bias")!;
  bias.type = tensorType("float32", [values.length]);
  graph.initializers.set(bias, Tensor.of("float32", [values.length], values));
  merge(graph, 1, "first.bias", name);
  return graph;
}

const names = (graph: Graph): string[] =>
  findSource(graph, { loss: { kind: "cross-entropy" } }).parameters.map((p) => p.name);

describe("parameters that an exporter merged", () => {
  it("are parameters of their own again where all elements are equal", () => {
    const graph = merged([0, 0, 0, 0]);
    untieConstants(graph);
    expect(graph.nodes.some((n) => n.op === "Identity")).to.equal(false);
    expect(names(graph)).to.have.members(["first.weight", "first.bias", "second.weight", "second.bias"]);
    const own = [...graph.initializers].find(([v]) => v.name === "second.bias")!;
    expect(own[0].producer).to.equal(null);
    expect(own[1].numbers()).to.deep.equal([0, 0, 0, 0]);
  });

  it("stay tied where the elements differ: then they are shared on purpose", () => {
    const graph = merged([0, 0, 1, 0]);
    untieConstants(graph);
    expect(names(graph)).to.deep.equal(["first.weight", "first.bias", "second.weight"]);
  });

  it("stay where the copy has a name that no module gives", () => {
    for (const name of ["/second/Identity_output_0", "onnx::Add_12", "val_7"]) {
      const graph = merged([1, 1, 1, 1], name);
      untieConstants(graph);
      expect(names(graph), name).to.not.include(name);
      expect(graph.nodes.filter((n) => n.op === "Identity")).to.have.length(1);
    }
  });
});
