import { expect } from "chai";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newModel } from "../../src/ir/graph.js";
import { patch, type PatchOptions } from "../../src/pack/patch.js";
import { Engine } from "../../src/runtime/engine.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { saveModel } from "../../src/serde/index.js";
import { batchNormNet } from "../support/batch_norms.js";
import { relativeError } from "../support/run_graph.js";
import { twoLayers } from "../support/two_layers.js";
import { batchRows } from "../support/batch_rows.js";

interface Case extends Omit<PatchOptions, "loss"> {
  /** Whether two halves of a batch measure what the whole does. */
  linear: boolean;
}

const groups = [
  { name: "biases", match: (name: string) => name.endsWith("bias"), hyper: { lr: 0.01, rho: 0.2, weight_decay: 0 } },
];
const cases: Record<string, Case> = {
  "the paper's": { optimizer: "curvsam", optimizerOptions: { frequency: 2 }, linear: true },
  "CurvSAM, GSAM, SASSHA": {
    ...{ optimizer: "curvsam", combine: "gsam", base: "sassha", linear: true },
    ...{ optimizerOptions: { frequency: 2, probes: 3, granularity: "tensor" }, baseOptions: { frequency: 3 } },
    hyper: { lr: 0.01 },
  },
  "ASAM, LookSAM, AdaHessian": {
    ...{ optimizer: "asam", combine: "looksam", base: "adahessian", linear: true },
    ...{ combineOptions: { period: 3 }, hyper: { lr: 0.01, eps: 0.01 } },
  },
  "CurvSAM by secants, LookSAM, AMSGrad": {
    ...{ optimizer: "curvsam", combine: "looksam", base: "adamw", linear: true },
    ...{ optimizerOptions: { estimator: "secant" }, combineOptions: { period: 2 }, baseOptions: { amsgrad: true } },
  },
  "CurvSAM by squares from zero, clipped": {
    ...{ optimizer: "curvsam", linear: true },
    optimizerOptions: { estimator: "empirical", frequency: 1, initial: "zero", floor: "relative", radius: "euclidean" },
    hyper: { clip_norm: 0.5, clip_value: 0.1, loss_scale: 64, momentum: 0.9 },
  },
  "CurvSAM by drawn labels of half the rows": {
    ...{ optimizer: "curvsam", linear: false },
    optimizerOptions: { estimator: "gnb", frequency: 2, share: 0.5 },
  },
  "CurvSAM's fast preset": { optimizer: "curvsam", preset: "fast", optimizerOptions: { frequency: 2 }, linear: false },
  "CurvSAM by finite differences of half the rows": {
    ...{ optimizer: "curvsam", linear: false },
    optimizerOptions: { estimator: "finite-difference", frequency: 2, share: 0.5, granularity: "group" },
    groups,
  },
  "SAM by groups over AdaHessian without an average": {
    ...{ optimizer: "sam", base: "adahessian", linear: true, groups },
    ...{ optimizerOptions: { scope: "group" }, baseOptions: { spatial: false, frequency: 2, hessian_power: 0.5 } },
  },
  "no ascent, SASSHA": { optimizer: "none", base: "sassha", linear: true, hyper: { lr: 0.01 } },
  "CurvSAM by exact products of a quarter": {
    ...{ optimizer: "curvsam", combine: "gsam", linear: false, groups },
    optimizerOptions: { share: 0.25, frequency: 3 },
  },
};

describe("variants of the step in the runtime", () => {
  let folder: string;
  let opened: Engine[] = [];
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "curvsam-variants-"));
    saveModel(newModel(twoLayers()), join(folder, "model.onnx"));
  });
  after(() => rmSync(folder, { recursive: true }));
  afterEach(async () => {
    for (const engine of opened) await engine.close();
    opened = [];
  });
  const open = async (path: string, driver: "fused" | "phases" = "fused", lowered?: string): Promise<Engine> => {
    const engine = await Engine.open(path, { threads: 1, seed: 5, driver, ...(lowered !== undefined && { lowered }) });
    opened.push(engine);
    return engine;
  };
  const everything = (engine: Engine): string[] => [
    ...Object.keys(engine.manifest.parameters),
    ...Object.keys(engine.manifest.state),
  ];
  const near = (a: Engine, b: Engine, bound: number): void => {
    const want = a.read(everything(a));
    for (const [name, { data }] of Object.entries(b.read(everything(b)))) {
      const [x, y] = [data as Float32Array, want[name]?.data as Float32Array];
      const small = Math.max(...y.map(Math.abs)) < 1e-6;
      expect(small ? Math.max(...x.map(Math.abs)) : relativeError(x, y), name).to.be.below(small ? 1e-5 : bound);
    }
  };

  for (const [title, { linear, ...options }] of Object.entries(cases)) {
    it(`${title}: fused, lowered, in phases${linear ? " and over micro-batches" : ""} alike; a bad step changes nothing`, async () => {
      const path = join(folder, title.replace(/\W+/g, "_"));
      await patch(join(folder, "model.onnx"), path, { loss: { kind: "mse" }, ...options });
      const [fused, phases, micro] = [await open(path), await open(path, "phases"), await open(path)];
      const lowered = await open(path, "fused", join(path, "lowered"));
      const start = fused.read(["first.weight"])["first.weight"]?.data as Float32Array;
      for (let t = 0; t < 6; t++) {
        const one = await fused.step([batchRows(t)]);
        await lowered.step([batchRows(t)]);
        const other = await phases.step([batchRows(t)]);
        expect(one.wasSkipped || other.wasSkipped).to.equal(false);
        for (const [name, x] of Object.entries(one.diagnostics)) {
          const y = other.diagnostics[name];
          if (y !== undefined) expect(Math.abs(x - y), name).to.be.below(1e-4 * Math.max(1, Math.abs(x)));
        }
        const groupNames = options.groups ? ["default", "biases"] : [];
        const norms = ["grad_norm", ...(options.optimizer === "none" ? [] : ["perturbation_norm"])];
        const looks = one.variant === "look_step";
        for (const diagnostics of [one.diagnostics, other.diagnostics]) {
          expect(diagnostics).to.include.keys("loss", "grad_norm");
          for (const norm of looks ? ["grad_norm"] : norms) {
            const squares = groupNames.map((group) => (diagnostics[`${norm}/${group}`] ?? NaN) ** 2);
            const whole = diagnostics[norm] ?? NaN;
            if (squares.length > 0) {
              expect(squares.reduce((x, y) => x + y)).to.be.closeTo(whole ** 2, 1e-4 * whole ** 2);
            }
          }
        }
        if (linear) await micro.step([batchRows(t, 0, 2), batchRows(t, 2, 8)]);
      }
      const end = fused.read(["first.weight"])["first.weight"]?.data as Float32Array;
      expect(relativeError(end, start)).to.be.above(1e-3);
      near(fused, phases, 2e-5);
      near(fused, lowered, 2e-5);
      if (linear) near(fused, micro, 2e-4);
      const engines = [fused, lowered, phases, ...(linear ? [micro] : [])];
      for (const engine of engines) {
        const before = engine.read(everything(engine));
        const bad = [batchRows(6, 0, 4), batchRows(6, 4, 8, NaN)];
        const result = await engine.step(engine === micro ? bad : [batchRows(6, 0, 8, Infinity)]);
        expect(result.wasSkipped).to.equal(true);
        expect(engine.read(everything(engine))).to.deep.equal(before);
      }
    });
  }

  it("moves the running statistics in the first pass only, whatever refreshes there are", async () => {
    const model = join(folder, "norms.onnx");
    saveModel(newModel(batchNormNet()), model);
    const path = join(folder, "norms");
    await patch(model, path, {
      loss: { kind: "cross-entropy" },
      ...{ optimizer: "curvsam", base: "adahessian", combine: "looksam", combineOptions: { period: 2 } },
      ...{ optimizerOptions: { share: 0.5 }, hyper: { lr: 0.01 } },
    });
    const images = (t: number): Feeds => ({
      feeds: {
        x: {
          ...{ dtype: "float32", dims: [6, 2, 4, 4] },
          data: Float32Array.from({ length: 192 }, (_, i) => Math.sin(0.9 * i * i + t)),
        },
        labels: { dtype: "int64", dims: [6], data: BigInt64Array.from([0n, 1n, 2n, 2n, 1n, 0n]) },
      },
    });
    const [fused, phases] = [await open(path), await open(path, "phases")];
    for (let t = 0; t < 4; t++) {
      const means = fused.read(["bn1.running_mean"])["bn1.running_mean"]?.data as Float32Array;
      await fused.step([images(t)]);
      await phases.step([images(t)]);
      expect(fused.read(["bn1.running_mean"])["bn1.running_mean"]?.data).to.not.deep.equal(means);
    }
    near(fused, phases, 1e-4);
  });
});
