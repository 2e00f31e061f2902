import { expect } from "chai";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newModel } from "../../src/ir/graph.js";
import { compose } from "../../src/optim/compose.js";
import { findSource } from "../../src/frontend/source.js";
import { patch } from "../../src/pack/patch.js";
import type { Engine } from "../../src/runtime/engine.js";
import type { Feeds } from "../../src/runtime/batch.js";
import type { EngineOptions } from "../../src/runtime/options.js";
import { saveModel } from "../../src/serde/index.js";
import { must } from "../../src/util/assert.js";
import { array } from "../reference/array.js";
import { engines } from "../support/engines.js";
import { threeLayers } from "../support/three_layers.js";
import { Trainer } from "../support/trainer.js";
import { relativeError } from "../support/run_graph.js";

/** Rows `from` to `to` of the batch of step t. */
function batch(t: number, from = 0, to = 6): Feeds {
  const rows = to - from;
  const floats = (size: number, f: (i: number) => number): Float32Array =>
    Float32Array.from({ length: rows * size }, (_, i) => f(i + from * size));
  return {
    feeds: {
      ids: {
        dtype: "int64",
        dims: [rows, 3],
        data: BigInt64Array.from({ length: rows * 3 }, (_, i) => BigInt(((i + 3 * from) ** 2 + t) % 7)),
      },
      images: { dtype: "float32", dims: [rows, 2, 5, 4], data: floats(40, (i) => Math.sin(2.3 * i + t)) },
      labels: { dtype: "float32", dims: [rows, 2], data: floats(2, (i) => Math.cos(0.7 * i - t)) },
    },
  };
}

const cases = {
  shampoo: {
    ascent: "none",
    options: { block: 5, statistics: 1, roots: 2, start: 1, momentum: 0.9 },
    hyper: { lr: 0.05, shampoo_ridge: 1e-4 },
  },
  kfac: {
    ascent: "sam",
    options: { fisher: "empirical", factors: 2, inverses: 3, momentum: 0.9 },
    hyper: { lr: 0.02, rho: 0.1, kfac_damping: 0.1 },
  },
  "kfac-sampled": { ascent: "none", options: { factors: 1, inverses: 1 }, hyper: { lr: 0.02 } },
} as const;

describe("preconditioners in the runtime", () => {
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "curvsam-preconditioners-"));
    const model = join(folder, "model.onnx");
    saveModel(newModel(threeLayers()), model);
    for (const [name, { ascent, options, hyper }] of Object.entries(cases)) {
      const base = name.split("-")[0] ?? "";
      await patch(model, join(folder, name), {
        loss: { kind: "mse" },
        ...{ optimizer: ascent, base, baseOptions: { ...options }, hyper },
      });
    }
  });
  after(() => rmSync(folder, { recursive: true }));
  const openEngine = engines({ threads: 1, seed: 5 });
  const open = (name: string, options: EngineOptions = {}): Promise<Engine> => openEngine(join(folder, name), options);

  for (const name of ["shampoo", "kfac"] as const) {
    it(`${name}: fused, in phases and over micro-batches, 8 steps equal those in float64 to 1e-4`, async () => {
      const { ascent, options, hyper } = cases[name];
      const source = findSource(threeLayers(), { loss: { kind: "mse" } });
      const trainer = new Trainer(source, compose(ascent, name, { base: { ...options } }), { ...hyper });
      const fused = await open(name);
      const phases = await open(name, { driver: "phases" });
      const micro = await open(name);
      for (let t = 0; t < 8; t++) {
        const whole = batch(t);
        const feeds = Object.entries(whole.feeds).map(([key, { dtype, dims, data }]) => {
          return [key, array(dtype, dims, Float64Array.from(data as ArrayLike<number>, Number))] as const;
        });
        trainer.run(t, Object.fromEntries(feeds));
        await fused.step([whole]);
        await phases.step([whole]);
        await micro.step([batch(t, 0, 2), batch(t, 2, 6)]);
      }
      for (const engine of [fused, phases, micro]) {
        for (const [key, { data }] of Object.entries(engine.read(trainer.names))) {
          expect(relativeError(data as Float32Array, must(trainer.feeds[key], key).data), key).to.be.below(1e-4);
        }
      }
    });
  }

  it("the labels of the sampled Fisher come from the seed alone", async () => {
    const after = async (seed: number): Promise<number[]> => {
      const engine = await open("kfac-sampled", { seed });
      for (let t = 0; t < 3; t++) await engine.step([batch(t)]);
      return Array.from(engine.read(["conv.weight"])["conv.weight"]?.data as Float32Array);
    };
    const [first, again, other] = [await after(1), await after(1), await after(2)];
    expect(again).to.deep.equal(first);
    expect(other).not.to.deep.equal(first);
  });
});
