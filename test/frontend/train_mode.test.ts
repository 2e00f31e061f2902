import { expect } from "chai";
import { join } from "node:path";
import { auditExport } from "../../src/frontend/audit.js";
import { restoreTraining } from "../../src/frontend/train_mode.js";
import { int, ints, Node, tensorType, Value, type Graph } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { compose } from "../../src/optim/compose.js";
import { loadSource, loadTyped } from "../../src/pack/load.js";
import { gradientGraph } from "../../src/pack/phases.js";
import { must } from "../../src/util/assert.js";
import { batchNormNet } from "../support/batch_norms.js";
import { bounds, derivativeErrors, transposeReference } from "../support/derivatives.js";
import { runGraph, type Feed } from "../support/run_graph.js";
import { folder, index, readFixture } from "../support/torch_fixtures.js";

const load = async (file: string): Promise<Graph> => (await loadTyped(join(folder, file))).model.graph;

/** The batch norms of a net as an export in evaluation mode has them. */
function inEvaluationMode(graph: Graph): Graph {
  for (const node of graph.nodes) {
    if (node.op !== "BatchNormalization") continue;
    const { epsilon, momentum } = node.attributes;
    node.attributes = { ...(epsilon && { epsilon }), ...(momentum && { momentum }) };
    node.outputs = node.outputs.slice(0, 1);
  }
  return graph;
}

describe("--train-mode", () => {
  // Other opsets and exporters write norms, attention and weights in other ways.
  const exports = index.exports.filter((x) => x.mode === "eval" && x.model !== "mlp");
  for (const { file, model } of exports) {
    it(`gives ${file} the dropouts of ${model} in training mode: PyTorch's gradient under the same masks`, async () => {
      const train = must(
        index.exports.find((x) => x.model === model && x.mode === "train"),
        model,
      );
      const reference = readFixture(train.reference);
      const { source, restored } = await loadSource(join(folder, file), {
        loss: { kind: "cross-entropy" },
        trainMode: { dropout: 0.1 },
      });
      expect(restored.map((r) => r.kind)).to.deep.equal(train.dropouts.map(() => "dropout"));
      expect(restored[1]!.message).to.match(/^Dropout 0.1 on the probabilities of the attention of .*layer\.0\.att/);
      const graph = gradientGraph({ source, optimizer: compose("none", "sgd"), groupedHyper: new Set() });
      const feeds = new Map<string, Feed>(reference);
      for (const name of source.inputs.keys()) feeds.set(name, must(reference.get(`input/${name}`), name));
      for (const p of source.parameters) {
        const tensor = must(source.graph.initializers.get(p.value), p.name);
        feeds.set(p.name, { dtype: "float32", dims: tensor.dims, data: tensor.float32() });
      }
      source.dropouts.forEach((d, k) => feeds.set(d.name, must(reference.get(train.dropouts[k]!.mask), d.name)));
      transposeReference(
        feeds,
        source.parameters.filter((p) => p.transposed).map((p) => p.name),
      );
      const got = await runGraph(graph, feeds);
      for (const { name, error } of derivativeErrors(got, feeds, "grad")) expect(error, name).to.be.below(bounds.grad);
    });
  }

  it("puts dropouts only where it is told to, and none where they are", async () => {
    const graph = await load("bert-eval-dynamo18.onnx");
    const restored = restoreTraining(graph, { dropout: 0.2, dropoutAt: ["attention", "classifier"] });
    expect(restored.map((r) => r.message.replace(/ of .*/, ""))).to.deep.equal([
      "Dropout 0.2 on the probabilities",
      "Dropout 0.2 on the probabilities",
      "Dropout 0.2 before the classifier",
    ]);
    const trained = await load("bert-train-dynamo18.onnx");
    expect(() => restoreTraining(trained)).to.throw(/^--train-mode: nothing to restore/);
  });

  it("switches on those that the exporter left, with their own probability", async () => {
    const graph = await load("roberta-train-dynamo18.onnx");
    const [dropout] = graph.nodes.filter((n) => n.op === "Dropout");
    dropout!.inputs = dropout!.inputs.slice(0, 2);
    expect(restoreTraining(graph, { dropout: 0.3 }).map((r) => r.message.replace(/^.*: /, ""))).to.deep.equal([
      `switched on, with its own ${Math.fround(0.1)}`,
    ]);
  });

  it("puts batch norms into training mode, and refuses statistics that are not stored", () => {
    const graph = inEvaluationMode(batchNormNet());
    expect(auditExport(graph)).to.deep.equal([]);
    const restored = restoreTraining(graph);
    expect(restored.map((r) => r.message.replace(/^.*: /, ""))).to.deep.equal(
      ["bn1", "bn2"].map(
        (n) => `by the statistics of the batch, which move "${n}.running_mean" and "${n}.running_var"`,
      ),
    );
    expect(
      graph.nodes.filter((n) => n.op === "BatchNormalization").every((n) => n.int("training_mode") === 1),
    ).to.equal(true);
    const other = inEvaluationMode(batchNormNet());
    const node = must(
      other.nodes.find((n) => n.op === "BatchNormalization"),
      "a norm",
    );
    node.inputs[3] = node.input(0).producer!.output();
    expect(() => restoreTraining(other)).to.throw(/^--train-mode: BatchNormalization ".*: its statistics \(/);
  });

  it("warns of batch norms that the exporter put into evaluation mode alone", () => {
    const graph = batchNormNet();
    const [norm] = graph.nodes.filter((n) => n.op === "BatchNormalization");
    norm!.attributes = { ...norm!.attributes, training_mode: int(0) };
    const [warning, ...others] = auditExport(graph);
    expect(others).to.deep.equal([]);
    expect(warning!.kind).to.equal("statistics");
    expect(warning!.message).to.match(/^1 batch norm \(.*\) will go by stored statistics, .*--train-mode$/);
  });

  it("refuses batch norms that were folded into convolutions, and attentions in one node", () => {
    const graph = batchNormNet();
    const weight = new Value("onnx::Conv_17", tensorType("float32", [3, 2, 3, 3]));
    const bias = new Value("onnx::Conv_18", tensorType("float32", [3]));
    graph.initializers.set(weight, Tensor.of("float32", [3, 2, 3, 3], Array<number>(54).fill(1)));
    graph.initializers.set(bias, Tensor.of("float32", [3], [1, 2, 3]));
    const y = new Value("y", null);
    const x = graph.inputs[0]!;
    graph.nodes.push(new Node("Conv", [x, weight, bias], [y], { pads: ints([1, 1, 1, 1]) }, {}, "", "/layer1/conv"));
    expect(() => restoreTraining(graph)).to.throw(
      /^--train-mode: Conv "\/layer1\/conv" of layer1: the exporter folded a batch norm into the weights \("onnx::Conv_17"\)/,
    );
    const fused = batchNormNet();
    fused.nodes.push(new Node("Attention", [x, x, x], [y], {}, {}, "", "attn"));
    expect(() => restoreTraining(fused)).to.throw(/^--train-mode: Attention "attn": an attention in one node/);
  });
});
