import { expect } from "chai";
import { join } from "node:path";
import { loadSource } from "../../src/pack/load.js";
import { gradientGraph } from "../../src/pack/phases.js";
import { compose } from "../../src/optim/compose.js";
import { must } from "../../src/util/assert.js";
import { bounds, derivativeErrors, transposeReference } from "../support/derivatives.js";
import { runGraph, type Feed } from "../support/run_graph.js";
import { folder, index, readFixture } from "../support/torch_fixtures.js";

describe("gradients and HVPs of real exports against PyTorch in float64", () => {
  for (const fixture of index.exports) {
    it(fixture.file, async () => {
      const reference = readFixture(fixture.reference);
      const { source } = await loadSource(join(folder, fixture.file), { loss: { kind: "cross-entropy" } });
      const optimizer = compose("curvsam", "sgd");
      const graph = gradientGraph({ source, optimizer, groupedHyper: new Set() }, "ascent");
      const feeds = new Map<string, Feed>(reference);
      for (const name of source.inputs.keys()) feeds.set(name, must(reference.get(`input/${name}`), name));
      for (const p of source.parameters) {
        const tensor = must(source.graph.initializers.get(p.value), p.name);
        feeds.set(p.name, { dtype: "float32", dims: tensor.dims, data: tensor.float32() });
      }
      source.dropouts.forEach((d, k) => {
        const known = must(fixture.dropouts[k], d.name);
        expect(d.node.output(0).name).to.equal(known.output);
        feeds.set(d.name, must(reference.get(known.mask), known.mask));
      });
      expect(source.dropouts.length).to.equal(fixture.dropouts.length);

      transposeReference(
        feeds,
        source.parameters.filter((p) => p.transposed).map((p) => p.name),
      );
      const names = source.parameters.map((p) => p.name).sort();
      const expected = [...reference.keys()].filter((k) => k.startsWith("grad/")).map((k) => k.slice("grad/".length));
      expect(names).to.deep.equal(expected.sort());

      const got = await runGraph(graph, feeds);
      const loss = (must(reference.get("loss"), "loss").data as Float64Array)[0] ?? NaN;
      expect(Math.abs((got.get("loss")?.[0] ?? NaN) - loss) / loss).to.be.below(bounds.loss);
      for (const kind of ["grad", "hvp"] as const) {
        for (const { name, error } of derivativeErrors(got, feeds, kind)) expect(error, name).to.be.below(bounds[kind]);
      }
    });
  }
});
