import { expect } from "chai";
import { join } from "node:path";
import { auditDropouts } from "../../src/frontend/dropout_audit.js";
import type { Graph, Node } from "../../src/ir/graph.js";
import { loadTyped } from "../../src/pack/load.js";
import { substitute } from "../../src/ir/edit.js";
import { folder, index } from "../support/torch_fixtures.js";

const load = async (file: string): Promise<Graph> => (await loadTyped(join(folder, file))).model.graph;
const attentionDropouts = (graph: Graph): Node[] =>
  graph.nodes.filter((n) => n.op === "Dropout" && n.input(0).producer?.op === "Softmax");

/** Takes `dropouts` out of the graph, as `torch.export` does. */
function remove(graph: Graph, dropouts: readonly Node[]): void {
  substitute(graph, new Map(dropouts.map((n) => [n.output(), n.input(0)])));
  graph.nodes = graph.nodes.filter((n) => !dropouts.includes(n));
}

describe("the audit of dropouts", () => {
  for (const file of ["bert-train-torchscript17.onnx", "roberta-train-dynamo18.onnx"]) {
    it(`names attentions that lost theirs: ${file}`, async () => {
      const graph = await load(file);
      expect(attentionDropouts(graph)).to.have.length(2);
      remove(graph, attentionDropouts(graph).slice(0, 1));
      const [warning, ...others] = auditDropouts(graph);
      expect(others).to.deep.equal([]);
      expect(warning!.kind).to.equal("missing");
      expect(warning!.nodes.map((n) => n.path)).to.deep.equal([
        `${file.split("-")[0]!}.encoder.layer.0.attention.self`,
      ]);
      expect(warning!.message).to.match(/^the dropout of 1 attention \(.*layer\.0.*\) is absent, though \d+ other/);
    });

    it(`and those whose dropout is not in training mode, with neighbours or without: ${file}`, async () => {
      const graph = await load(file);
      for (const node of attentionDropouts(graph)) node.inputs = node.inputs.slice(0, 2);
      const [warning, ...others] = auditDropouts(graph);
      expect(others).to.deep.equal([]);
      expect(warning!.kind).to.equal("inactive");
      expect(warning!.nodes).to.have.length(2);
      remove(
        graph,
        graph.nodes.filter((n) => n.op === "Dropout" && !attentionDropouts(graph).includes(n)),
      );
      expect(auditDropouts(graph).map((w) => w.nodes.length)).to.deep.equal([2]);
    });
  }

  it("is silent on complete exports in training mode, on those for evaluation, and without attention", async () => {
    for (const { file, model, opset } of index.exports) {
      if (model === "roberta" || opset === 14) continue;
      expect(auditDropouts(await load(file)), file).to.deep.equal([]);
    }
  });
});
