import { expect } from "chai";
import { must } from "../../src/util/assert.js";
import { artifacts, lower, onTrainingKernels } from "../support/artifacts.js";
import { runGraph } from "../support/run_graph.js";

describe("training artifacts of ONNX Runtime", () => {
  for (const artifact of artifacts()) {
    it(`${artifact.name}: loss and gradients equal those of its own kernels`, async () => {
      const lowered = await lower(artifact);
      const { values, masks } = await onTrainingKernels(artifact, lowered);
      const { source, graph, feeds } = lowered;
      expect(source.dropouts.length).to.equal(masks.length);
      source.dropouts.forEach((d, i) => feeds.set(d.name, must(masks[i], d.name)));
      for (const p of source.parameters) {
        if (!p.trainable) continue;
        const { dims, data } = must(feeds.get(p.name), p.name);
        feeds.set(`z/${p.name}`, { dtype: "float32", dims, data: Float32Array.from(data as Float32Array, () => 1) });
      }
      const got = await runGraph(graph, feeds);
      expect(values.size).to.be.above(1);
      for (const [name, expected] of values) {
        const found = must(got.get(name), name);
        expect(found.length, name).to.equal(expected.length);
        let [error, scale] = [0, 1];
        expected.forEach((x, i) => {
          error = Math.max(error, Math.abs(x - (found[i] ?? NaN)));
          scale = Math.max(scale, Math.abs(x));
        });
        expect(error / scale, name).to.be.at.most(1e-5);
      }
    });
  }
});
