import { expect } from "chai";
import { join } from "node:path";
import { loadSource } from "../../src/pack/load.js";
import { gradientGraph } from "../../src/pack/phases.js";
import { compose } from "../../src/optim/compose.js";
import { must } from "../../src/util/assert.js";
import { runGraph, type Feed } from "../support/run_graph.js";
import { folder, index, readFixture } from "../support/torch_fixtures.js";

/** Largest |a − b| over the largest |b|; tensors whose reference vanishes are compared to the whole gradient's size. */
function errors(
  got: ReadonlyMap<string, Float32Array>,
  reference: ReadonlyMap<string, Feed>,
  kind: string,
): { name: string; error: number }[] {
  const of = [...reference].filter(([name]) => name.startsWith(`${kind}/`));
  const largest = (data: ArrayLike<number>): number => Array.from(data).reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  const whole = Math.max(...of.map(([, f]) => largest(f.data as Float64Array)));
  return of.map(([name, f]) => {
    const want = f.data as Float64Array;
    const have = must(got.get(name), name);
    const size = largest(want);
    const scale = size < 1e-6 * whole ? whole : size;
    let error = 0;
    want.forEach((x, i) => (error = Math.max(error, Math.abs(x - (have[i] ?? NaN)) / scale)));
    return { name, error: have.length === want.length ? error : NaN };
  });
}

describe("gradients and HVPs of real exports against PyTorch in float64", () => {
  for (const fixture of index.exports) {
    it(fixture.file, async () => {
      const reference = readFixture(fixture.reference);
      const { source } = await loadSource(join(folder, fixture.file), { loss: { kind: "cross-entropy" } });
      const optimizer = compose("curvsam", "sgd");
      const graph = gradientGraph({ source, optimizer, groupedHyper: new Set() }, true);
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

      const transposed = new Set(source.parameters.filter((p) => p.transposed).map((p) => p.name));
      for (const name of transposed) {
        for (const kind of ["z", "grad", "hvp"]) {
          const key = `${kind}/${name}`;
          feeds.set(key, transpose(must(feeds.get(key), key)));
        }
      }
      const names = source.parameters.map((p) => p.name).sort();
      const expected = [...reference.keys()].filter((k) => k.startsWith("grad/")).map((k) => k.slice("grad/".length));
      expect(names).to.deep.equal(expected.sort());

      const got = await runGraph(graph, feeds);
      const loss = (must(reference.get("loss"), "loss").data as Float64Array)[0] ?? NaN;
      expect(Math.abs((got.get("loss")?.[0] ?? NaN) - loss) / loss).to.be.below(1e-5);
      for (const { name, error } of errors(got, feeds, "grad")) expect(error, name).to.be.below(1e-5);
      for (const { name, error } of errors(got, feeds, "hvp")) expect(error, name).to.be.below(1e-4);
    });
  }
});

function transpose({ dtype, dims, data }: Feed): Feed {
  const [rows = 1, columns = 1] = dims;
  const source = data as Float64Array;
  const result = source.map((_, i) => source[(i % rows) * columns + Math.floor(i / rows)] ?? NaN);
  return { dtype, dims: [columns, rows], data: result };
}
