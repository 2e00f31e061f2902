import { expect } from "chai";
import { Graph, Node, tensorType, Value } from "../../src/ir/graph.js";
import { staticReshapes } from "../../src/passes/static_reshapes.js";
import type { Dim } from "../../src/util/shape.js";

function targetOf(from: Dim[], to: Dim[]): number[] | null {
  const graph = new Graph("g");
  const x = new Value("x", tensorType("float32", from));
  const shape = new Value("shape", tensorType("int64", [to.length]));
  const y = new Value("y", tensorType("float32", to));
  graph.inputs = [x, shape];
  graph.outputs = [y];
  graph.nodes = [new Node("Reshape", [x, shape], [y])];
  const { modified } = staticReshapes(graph);
  const constant = graph.nodes[0]?.inputs[1];
  const tensor = constant && graph.initializers.get(constant);
  expect(modified).to.equal(tensor !== undefined);
  return tensor?.numbers() ?? null;
}

describe("constant targets of reshapes", () => {
  it("keep symbols at their place, and infer one dimension", () => {
    expect(targetOf(["batch", "sequence", 128], ["batch", "sequence", 4, 32])).to.deep.equal([0, 0, 4, 32]);
    expect(targetOf(["batch", "sequence", 128], ["batch*sequence", 128])).to.deep.equal([-1, 128]);
    expect(targetOf(["batch*sequence", 128], ["batch*sequence", 4, 32])).to.deep.equal([0, 4, 32]);
    expect(targetOf([2, 6], [3, 4])).to.deep.equal([3, 4]);
  });
  it("are left to run time where two dimensions would have to be inferred, or one is zero", () => {
    expect(targetOf(["batch*sequence", 8], ["batch", "sequence", 8])).to.equal(null);
    expect(targetOf([0, 4], [0, 2])).to.equal(null);
  });
});
