import { expect } from "chai";
import { findBuffers } from "../../src/frontend/batch_norm.js";
import { batchNormNet } from "../support/batch_norms.js";

describe("running statistics", () => {
  it("are the initializers that batch norms in training mode move", () => {
    const graph = batchNormNet();
    const [first, second] = graph.nodes.filter((n) => n.op === "BatchNormalization");
    expect(findBuffers(graph).map((f) => [f.name, f.moved])).to.deep.equal([
      ["bn1.running_mean", first!.output(1)],
      ["bn1.running_var", first!.output(2)],
      ["bn2.running_mean", second!.output(1)],
      ["bn2.running_var", second!.output(2)],
    ]);
  });

  it("that two norms share are moved by one after the other, outputs left out or not", () => {
    const graph = batchNormNet();
    const [first, second] = graph.nodes.filter((n) => n.op === "BatchNormalization");
    const shared = first!.inputs.slice(3);
    second!.inputs.splice(3, 2, ...shared);
    second!.outputs = [second!.output(0)];
    const buffers = findBuffers(graph);
    expect(buffers.map((f) => f.value)).to.deep.equal(shared);
    expect(second!.inputs.slice(3)).to.deep.equal([first!.output(1), first!.output(2)]);
    expect(buffers.map((f) => f.moved)).to.deep.equal([second!.output(1), second!.output(2)]);
  });
});
