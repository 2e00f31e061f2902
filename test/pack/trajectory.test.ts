import { expect } from "chai";
import { InferenceSession } from "onnxruntime-node";
import { join } from "node:path";
import { newModel, type Graph } from "../../src/ir/graph.js";
import { compose, type Optimizer } from "../../src/optim/compose.js";
import { loadSource } from "../../src/pack/load.js";
import { emitGraphs } from "../../src/pack/patch.js";
import type { Recipe } from "../../src/pack/ports.js";
import { serializeModel } from "../../src/serde/index.js";
import { must } from "../../src/util/assert.js";
import { relativeError, runSession, type Feed } from "../support/run_graph.js";
import { folder, index, readFixture, row, type TrajectoryFixture } from "../support/torch_fixtures.js";

type Feeds = Map<string, Feed>;

function optimizerOf(f: TrajectoryFixture): Optimizer {
  return compose(f.ascent, f.base, {
    ascent: f.ascent === "curvsam" ? { frequency: must(f.hyper["frequency"], "frequency") } : {},
    base: f.base === "sgd" ? { momentum: f.hyper["momentum"] ?? 0, nesterov: f.nesterov } : {},
  });
}

/** Weights and initial state of a recipe, and the hyper-parameters of the fixture. */
function startingFeeds(recipe: Recipe, hyper: Record<string, number>): Feeds {
  const feeds: Feeds = new Map();
  const scalar = (x: number): Feed => ({ dtype: "float32", dims: [], data: Float32Array.of(x) });
  const { source, optimizer } = recipe;
  for (const p of source.parameters) {
    const tensor = must(source.graph.initializers.get(p.value), p.name);
    feeds.set(p.name, { dtype: "float32", dims: tensor.dims, data: tensor.float32() });
    for (const t of optimizer.state.tensors) {
      feeds.set(`${t.kind}/${p.name}`, {
        dtype: "float32",
        dims: tensor.dims,
        data: new Float32Array(tensor.size).fill(t.fill),
      });
    }
  }
  feeds.set("state/step", scalar(0));
  for (const s of optimizer.state.scalars) feeds.set(`state/${s.name}`, scalar(s.fill));
  for (const h of optimizer.hyper) feeds.set(`hyper/${h.name}`, scalar(hyper[h.name] ?? h.default));
  return feeds;
}

const advance = (feeds: Feeds, outputs: ReadonlyMap<string, Float32Array>): void => {
  for (const [name, data] of outputs) {
    if (!name.startsWith("next/")) continue;
    const old = must(feeds.get(name.slice("next/".length)), name);
    feeds.set(name.slice("next/".length), { ...old, data });
  }
};

const norm = (tensors: Iterable<Float32Array>): number => {
  let sum = 0;
  for (const t of tensors) for (const x of t) sum += x * x;
  return Math.sqrt(sum);
};

describe("trajectories against float64 references written from the papers", () => {
  for (const fixture of index.trajectories) {
    it(`${fixture.export}: ${fixture.ascent} with ${fixture.base}, 10 steps, fused and in phases`, async () => {
      const { source } = await loadSource(join(folder, fixture.export), { loss: { kind: "cross-entropy" } });
      const recipe: Recipe = { source, optimizer: optimizerOf(fixture), groupedHyper: new Set() };
      const graphs = new Map(emitGraphs(recipe));
      const opened = new Map<string, InferenceSession>();
      const run = async (name: string, feeds: Feeds): Promise<Map<string, Float32Array>> => {
        let session = opened.get(name);
        if (!session) {
          const graph: Graph = must(graphs.get(name), name);
          session = await InferenceSession.create(serializeModel(newModel(graph)), {
            intraOpNumThreads: 1,
            logSeverityLevel: 3,
          });
          opened.set(name, session);
        }
        return runSession(session, feeds);
      };
      const data = readFixture(fixture.data);
      const want = readFixture(fixture.file);
      const fused = startingFeeds(recipe, fixture.hyper);
      const phased = startingFeeds(recipe, fixture.hyper);
      const frequency = recipe.optimizer.frequency;
      const curvature = recipe.optimizer.ascent.curvature !== undefined;
      for (let t = 0; t < fixture.steps; t++) {
        const refresh = curvature && t % frequency === 0;
        const batch: Feeds = new Map([["labels", row(must(data.get("labels"), "labels"), t)]]);
        for (const name of source.inputs.keys()) batch.set(name, row(must(data.get(`input/${name}`), name), t));
        if (refresh) {
          for (const p of source.parameters) {
            batch.set(`z/${p.name}`, must(data.get(`z/${t / frequency}/${p.name}`), p.name));
          }
        }
        const step = await run(refresh ? "curvature_step" : "step", new Map([...fused, ...batch]));
        const at = (name: string): number => (must(want.get(name), name).data as Float64Array)[t] ?? NaN;
        for (const name of ["loss", "perturbed_loss", "grad_norm", "perturbation_norm"]) {
          expect(Math.abs((step.get(name)?.[0] ?? NaN) - at(name)) / at(name), `${name} at step ${t}`).to.be.below(
            1e-4,
          );
        }
        expect(step.get("skipped")?.[0]).to.equal(0);

        const first = await run(refresh ? "hvp" : "gradient", new Map([...phased, ...batch]));
        const named = (outputs: ReadonlyMap<string, Float32Array>, as = ""): Feeds =>
          new Map(
            [...outputs].map(([name, values]) => {
              const dims = phased.get(name.slice(name.indexOf("/") + 1))?.dims ?? [values.length];
              return [as + name, { dtype: "float32", dims, data: values }];
            }),
          );
        const point = named(first);
        if (refresh) advance(phased, await run("curvature", new Map([...phased, ...batch, ...point])));
        const perturbed = await run("perturb", new Map([...phased, ...point]));
        const moved = new Map(phased);
        for (const p of source.parameters) {
          moved.set(p.name, {
            ...must(phased.get(p.name), p.name),
            data: must(perturbed.get(`perturbed/${p.name}`), p.name),
          });
        }
        if (fixture.ascent === "curvsam") {
          let ellipsoid = 0;
          for (const p of source.parameters) {
            const w = must(phased.get(p.name), p.name).data as Float32Array;
            const h = must(phased.get(`curvature/${p.name}`), p.name).data as Float32Array;
            const moved_ = must(perturbed.get(`perturbed/${p.name}`), p.name);
            w.forEach((x, i) => {
              const d = Math.max(Math.sqrt(h[i] ?? NaN), must(fixture.hyper["delta"], "delta"));
              ellipsoid += ((moved_[i] ?? NaN) - x) ** 2 * d;
            });
          }
          const rho = must(fixture.hyper["rho"], "rho");
          expect(Math.abs(ellipsoid / rho ** 2 - 1), `εᵀDε at step ${t}`).to.be.below(1e-5);
        }
        const second = await run("gradient", new Map([...moved, ...batch]));
        const descent = named(second, "perturbed_");
        advance(phased, await run("descend", new Map([...phased, ...point, ...descent])));
        advance(fused, step);

        for (const [name, feed] of fused) {
          const one = feed.data as Float32Array;
          const other = must(phased.get(name), name).data as Float32Array;
          // The bias of a key has no gradient but rounding: small tensors compare absolutely.
          const scale = Math.max(1e-3, ...one.map(Math.abs));
          one.forEach((x, i) =>
            expect(Math.abs(x - (other[i] ?? NaN)) / scale, `${name}, phases against fused`).to.be.below(1e-5),
          );
        }
        if (!fixture.kept.includes(t + 1)) continue;
        for (const [name, feed] of want) {
          if (!name.startsWith(`after/${t + 1}/`)) continue;
          const own = must(fused.get(name.slice(`after/${t + 1}/`.length)), name).data as Float32Array;
          expect(relativeError(own, feed.data as Float64Array), name).to.be.below(1e-4);
        }
      }
      expect(norm([...fused.values()].map((f) => f.data as Float32Array))).to.be.above(0);
      for (const session of opened.values()) await session.release();
    });
  }
});
