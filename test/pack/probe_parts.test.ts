import { expect } from "chai";
import { join } from "node:path";
import { syntheticModel } from "../../scripts/bench/synthetic.js";
import { upgrade } from "../../src/convert/index.js";
import { newModel, type Graph } from "../../src/ir/graph.js";
import { loadSource } from "../../src/pack/load.js";
import { gradientGraph } from "../../src/pack/phases.js";
import { partsOf } from "../../src/pack/probe_parts.js";
import { observe, type Frame, type Shape } from "../../src/pack/probe_session.js";
import { Symbols } from "../../src/pack/probe_symbols.js";
import { compose } from "../../src/optim/compose.js";
import { constantsToInitializers } from "../../src/passes/constants.js";
import { simplify } from "../../src/passes/simplify.js";
import { loadModel, saveModel } from "../../src/serde/index.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

const frameOf = ({ inputs, initializers, nodes }: Graph): Frame => ({
  inputs: inputs.filter((v) => !initializers.has(v)),
  initializers,
  nodes,
});

describe("typing a large graph in parts", () => {
  for (const file of [
    join(root, "models", "roberta-mini", "model.onnx"),
    ...["deberta-v3-train-dynamo18", "gin-train-dynamo18"].map((name) =>
      join(root, "test", "fixtures", "zoo", `${name}.onnx`),
    ),
  ]) {
    it(`tells of ${file.slice(root.length + 1)} what it tells in one`, async () => {
      const model = loadModel(file);
      upgrade(model);
      constantsToInitializers(model.graph);
      const frame = frameOf(model.graph);
      const symbols = new Set(frame.inputs.flatMap((v) => v.dims.filter((d) => typeof d === "string")));
      for (const sizes of new Symbols([...symbols]).rounds()) {
        const whole = await observe(model, frame, sizes, Infinity);
        expect(whole.size).to.be.above(3);
        expect(await observe(model, frame, sizes, 40)).to.deep.equal(whole);
      }
    });
  }

  it("opens every node about once", () => {
    const graph = syntheticModel(3000);
    // As they are once the parts before have been opened: activations of 3 · 4 · 8 elements.
    const seen = new Map<string, Shape>();
    for (const node of graph.nodes) {
      for (const o of node.outputs) if (o) seen.set(o.name, { dtype: "float32", dims: [3, 4, 8] });
    }
    const parts = [...partsOf(frameOf(graph), seen, 500)];
    expect(parts.length).to.be.within(6, 7);
    expect(parts.reduce((n, p) => n + p.nodes.length, 0)).to.be.below(1.01 * graph.nodes.length);
    expect(parts.reduce((n, p) => n + p.initializers.size, 0)).to.be.below(graph.initializers.size + 5 * parts.length);
  });
});

describe("the work of compiling", () => {
  const folder = temporaryFolder();

  it("grows as the model: nodes emitted, and passes over them", async () => {
    const work = async (nodes: number): Promise<{ emitted: number; passes: number }> => {
      const file = join(folder.path, `${nodes}.onnx`);
      saveModel(newModel(syntheticModel(nodes), 17, 8), file);
      const { source } = await loadSource(file, { loss: { kind: "cross-entropy" } });
      const recipe = { source, optimizer: compose("curvsam", "sgd"), groupedHyper: new Set<string>() };
      const graph = gradientGraph(recipe, "ascent");
      let passes = 0;
      simplify(graph, () => passes++);
      return { emitted: graph.nodes.length / source.graph.nodes.length, passes };
    };
    const [small, large] = [await work(150), await work(600)];
    expect(large.passes).to.equal(small.passes);
    expect(large.emitted / small.emitted).to.be.within(0.9, 1.1);
  });
});
