import { expect } from "chai";
import { join } from "node:path";
import type { Graph } from "../../src/ir/graph.js";
import { compose } from "../../src/optim/compose.js";
import { loadSource } from "../../src/pack/load.js";
import { gradientGraph } from "../../src/pack/phases.js";
import type { Recipe } from "../../src/pack/ports.js";
import type { DType } from "../../src/util/dtype.js";
import { must } from "../../src/util/assert.js";
import type { Feed } from "../support/run_graph.js";
import { folder, index, readFixture, row, type TrajectoryFixture } from "../support/torch_fixtures.js";
import { array, ofTensor, transpose, type Array64 } from "./array.js";
import { outputsOf } from "./evaluate.js";
import { CurvSam, Sam } from "./ascents.js";
import { AdamW, Sgd, norm, type Base, type Gradient, type Hvp, type Vectors } from "./optimizers.js";

/**
 * Relative to the largest element. Exports hold constants that float32 rounds (√2, ε), so that float64 agrees with
 * PyTorch to about 1e-7, and no better.
 */
const tolerance = 1e-6;

const toArray = ({ dtype, dims, data }: Feed): Array64 =>
  array(
    dtype.startsWith("float") ? "float32" : (dtype as DType),
    dims,
    Float64Array.from(data as Float64Array, Number),
  );

const largest = (x: Float64Array): number => x.reduce((m, v) => Math.max(m, Math.abs(v)), 0);

function expectClose(name: string, got: Float64Array, want: Float64Array, scale = largest(want)): void {
  expect(got.length, name).to.equal(want.length);
  expect(largest(got.map((x, i) => x - want[i]!)) / scale, name).to.be.below(tolerance);
}

/** Values for the inputs of `graph`. */
function feedsOf(graph: Graph, known: ReadonlyMap<string, Array64>): Record<string, Array64> {
  return Object.fromEntries(graph.inputs.map((v) => [v.name, must(known.get(v.name), v.name)]));
}

describe("gradient and HVP graphs in float64, against PyTorch's", () => {
  for (const fixture of index.exports.filter((f) => f.opset >= 17)) {
    it(fixture.file, async () => {
      const reference = new Map([...readFixture(fixture.reference)].map(([k, f]) => [k, toArray(f)]));
      const { source } = await loadSource(join(folder, fixture.file), { loss: { kind: "cross-entropy" } });
      const graph = gradientGraph({ source, optimizer: compose("curvsam", "sgd"), groupedHyper: new Set() }, "ascent");
      const feeds = new Map(reference);
      const oriented = (name: string, transposed: boolean): Array64 => {
        const x = must(reference.get(name), name);
        return transposed ? transpose(x, [1, 0]) : x;
      };
      for (const name of source.inputs.keys()) feeds.set(name, must(reference.get(`input/${name}`), name));
      for (const p of source.parameters) {
        feeds.set(p.name, ofTensor(must(source.graph.initializers.get(p.value), p.name)));
        feeds.set(`z/${p.name}`, oriented(`z/${p.name}`, p.transposed));
      }
      source.dropouts.forEach((d, k) => {
        const { mask } = must(fixture.dropouts[k], d.name);
        feeds.set(d.name, must(reference.get(mask), mask));
      });

      const got = outputsOf(graph, feedsOf(graph, feeds));
      expectClose("loss", got["loss"]!.data, must(reference.get("loss"), "loss").data);
      for (const kind of ["grad", "hvp"]) {
        const wanted = source.parameters.map(
          (p) => [p.name, oriented(`${kind}/${p.name}`, p.transposed).data] as const,
        );
        const whole = Math.max(...wanted.map(([, x]) => largest(x)));
        for (const [name, want] of wanted) {
          const size = largest(want);
          expectClose(`${kind}/${name}`, got[`${kind}/${name}`]!.data, want, size < 1e-6 * whole ? whole : size);
        }
      }
    });
  }
});

const baseOf = ({ base, nesterov, hyper }: TrajectoryFixture): Base =>
  base === "sgd"
    ? new Sgd({
        lr: hyper["lr"]!,
        momentum: hyper["momentum"] ?? 0,
        dampening: hyper["dampening"] ?? 0,
        nesterov,
        weightDecay: hyper["weight_decay"] ?? 0,
      })
    : new AdamW({
        lr: hyper["lr"]!,
        beta1: hyper["beta1"]!,
        beta2: hyper["beta2"]!,
        epsilon: hyper["eps"]!,
        weightDecay: hyper["weight_decay"] ?? 0,
      });

describe("reference optimizers on gradient graphs in float64, against PyTorch trajectories", () => {
  for (const fixture of index.trajectories) {
    it(`${fixture.export}: ${fixture.ascent} with ${fixture.base}`, async () => {
      const { source } = await loadSource(join(folder, fixture.export), { loss: { kind: "cross-entropy" } });
      const recipe: Recipe = { source, optimizer: compose("curvsam", "sgd"), groupedHyper: new Set() };
      const [plain, curved] = [gradientGraph(recipe), gradientGraph(recipe, "ascent")];
      const [data, want] = [readFixture(fixture.data), readFixture(fixture.file)];
      const start = source.parameters.map((p) => ofTensor(must(source.graph.initializers.get(p.value), p.name)));
      const numbers = (name: string): Float64Array => toArray(must(want.get(name), name)).data;
      let batch = new Map<string, Array64>();
      const bind = (prefix: string, xs: Vectors): Map<string, Array64> =>
        new Map(source.parameters.map((p, i) => [`${prefix}${p.name}`, array("float32", start[i]!.dims, xs[i]!)]));
      const losses: number[] = [];
      const gradient: Gradient = (w) => {
        const got = outputsOf(plain, feedsOf(plain, new Map([...batch, ...bind("", w)])));
        losses.push(got["loss"]!.data[0]!);
        return source.parameters.map((p) => got[`grad/${p.name}`]!.data);
      };
      const hvp: Hvp = (w, z) => {
        const got = outputsOf(curved, feedsOf(curved, new Map([...batch, ...bind("", w), ...bind("z/", z)])));
        return source.parameters.map((p) => got[`hvp/${p.name}`]!.data);
      };

      const { rho, beta, delta, frequency } = fixture.hyper;
      const base = baseOf(fixture);
      const options = { rho: rho!, beta: beta ?? 0.9, delta: delta ?? 0.01, frequency: frequency ?? 5 };
      const optimizer = fixture.ascent === "curvsam" ? new CurvSam(base, options) : new Sam(base, rho!);
      let w: Vectors = start.map((x) => x.data);
      for (let t = 0; t < fixture.steps; t++) {
        batch = new Map([["labels", toArray(row(must(data.get("labels"), "labels"), t))]]);
        for (const name of source.inputs.keys())
          batch.set(name, toArray(row(must(data.get(`input/${name}`), name), t)));
        const probe = (): Vectors =>
          source.parameters.map((p) => toArray(must(data.get(`z/${t / options.frequency}/${p.name}`), p.name)).data);
        losses.length = 0;
        w = optimizer.step(w, gradient, hvp, probe);
        expect(losses[0], `loss at step ${t}`).to.be.closeTo(numbers("loss")[t]!, tolerance);
        expect(losses[1], `loss at w + ε of step ${t}`).to.be.closeTo(numbers("perturbed_loss")[t]!, tolerance);
        expect(norm(optimizer.perturbation)).to.be.closeTo(numbers("perturbation_norm")[t]!, tolerance);
        if (!fixture.kept.includes(t + 1)) continue;
        source.parameters.forEach((p, i) => {
          expectClose(p.name, w[i]!, numbers(`after/${t + 1}/${p.name}`));
          if (optimizer instanceof CurvSam)
            expectClose(`h of ${p.name}`, optimizer.curvature[i]!, numbers(`after/${t + 1}/curvature/${p.name}`));
        });
      }
    });
  }
});
