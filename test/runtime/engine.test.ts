import { expect } from "chai";
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Engine } from "../../src/runtime/engine.js";
import type { EngineOptions } from "../../src/runtime/options.js";
import type { HostTensor } from "../../src/runtime/tensors.js";
import { UserError } from "../../src/util/assert.js";
import { draw } from "../../src/util/draw.js";
import { engines } from "../support/engines.js";
import { refusal } from "../support/refusal.js";
import { features, logisticBatch, logisticPackage, type LogisticBatch } from "../support/logistic.js";

const bytes = (tensors: Record<string, HostTensor>) =>
  Object.fromEntries(Object.entries(tensors).map(([k, t]) => [k, Array.from(t.data, Number)]));

describe("engine", () => {
  let folder: string;
  const openEngine = engines({ threads: 1 });
  const open = (options: EngineOptions = {}): Promise<Engine> => openEngine(folder, options);
  before(() => {
    folder = logisticPackage();
  });
  after(() => rmSync(folder, { recursive: true }));
  const everything = (engine: Engine) =>
    bytes(engine.read([...Object.keys(engine.manifest.parameters), ...Object.keys(engine.manifest.state)]));

  it("takes CurvSAM's steps: equal to a float64 reference over 7 steps, masks and probes included", async () => {
    const engine = await open({ seed: 5 });
    const reference = new Reference(5);
    for (let t = 0; t < 7; t++) {
      const batch = logisticBatch(16, t);
      const result = await engine.step([batch]);
      const expected = reference.step(batch, t);
      expect(result.step).to.equal(t + 1);
      expect(result.variant).to.equal(t % 3 === 0 ? "curvature_step" : "step");
      expect(result.diagnostics.loss).to.be.closeTo(expected.loss, 1e-6);
      expect(result.diagnostics.perturbed_loss).to.be.closeTo(expected.perturbedLoss, 1e-6);
      expect(result.diagnostics.skipped).to.equal(0);
    }
    const now = everything(engine);
    const got = [...now.w!, ...now.b!, ...now["curvature/w"]!, ...now["curvature/b"]!];
    [...reference.p, ...reference.h].forEach((v, i) => expect(got[i], `element ${i}`).to.be.closeTo(v, 3e-6));
    expect(now["state/step"]).to.deep.equal([7]);
    expect(now.scale).to.deep.equal([1, 0.5, 2, 1, 1]);
  });

  it("phases equal the fused step", async () => {
    const fused = await open({ seed: 1 });
    const phases = await open({ seed: 1, driver: "phases" });
    for (let t = 0; t < 7; t++) {
      const batch = logisticBatch(12, "phases", t);
      const a = await fused.step([batch]);
      const b = await phases.step([batch]);
      expect(b.diagnostics.loss).to.be.closeTo(a.diagnostics.loss!, 1e-7);
      expect(b.diagnostics.perturbed_loss).to.be.closeTo(a.diagnostics.perturbed_loss!, 1e-7);
      expect(b.diagnostics.perturbation_norm).to.be.closeTo(a.diagnostics.perturbation_norm!, 1e-7);
    }
    const a = everything(fused);
    const b = everything(phases);
    for (const name of Object.keys(a)) a[name]!.forEach((v, i) => expect(b[name]![i], name).to.be.closeTo(v, 1e-6));
  });

  it("accumulates unequal micro-batches to the full batch's step", async () => {
    rmSync(folder, { recursive: true });
    folder = logisticPackage({ dropout: false });
    const whole = await open();
    const parts = await open();
    for (let t = 0; t < 4; t++) {
      const batch = logisticBatch(16, "accumulate", t);
      const cut = [0, 3, 8, 9, 16];
      const a = await whole.step([batch]);
      const b = await parts.step(cut.slice(1).map((end, i) => slice(batch, cut[i]!, end)));
      expect(b.diagnostics.loss).to.be.closeTo(a.diagnostics.loss!, 1e-6);
      expect(b.diagnostics.loss_weight).to.equal(16);
    }
    const a = everything(whole);
    const b = everything(parts);
    for (const name of Object.keys(a)) {
      if (name !== "x_mean") a[name]!.forEach((v, i) => expect(b[name]![i], name).to.be.closeTo(v, 2e-6));
    }
    rmSync(folder, { recursive: true });
    folder = logisticPackage();
  });

  it("moves a buffer once for each micro-batch, in the first pass only", async () => {
    const engine = await open();
    const batches = [logisticBatch(4, "a"), logisticBatch(6, "b")];
    await engine.step(batches);
    let mean = new Array<number>(features).fill(0);
    for (const { size, feeds } of batches) {
      mean = mean.map((m, j) => {
        let now = 0;
        for (let i = 0; i < size; i++) now += feeds.x.data[i * features + j]! / size;
        return 0.9 * m + 0.1 * now;
      });
    }
    everything(engine).x_mean!.forEach((v, i) => expect(v).to.be.closeTo(mean[i]!, 1e-6));
  });

  for (const driver of ["fused", "phases"] as const) {
    it(`skips a step that is not finite, ${driver}: nothing changes, t stays, it is counted`, async () => {
      const engine = await open({ driver });
      await engine.step([logisticBatch(8, 0)]);
      const before = everything(engine);
      const bad = logisticBatch(8, 1);
      bad.feeds.x.data[3] = NaN;
      const first = await engine.step([bad]);
      expect(first).to.include({ wasSkipped: true, step: 1, skipped: 1, skippedInRow: 1 });
      expect(await engine.step([bad])).to.include({ step: 1, skipped: 2, skippedInRow: 2 });
      expect(everything(engine)).to.deep.equal(before);
      const good = await engine.step([logisticBatch(8, 2)]);
      expect(good).to.include({ wasSkipped: false, step: 2, skipped: 2, skippedInRow: 0 });
      expect(everything(engine).w).to.not.deep.equal(before.w);
    });
  }

  it("resumes bit for bit from a saved state, after a skip too", async () => {
    const path = join(folder, "state.safetensors");
    const straight = await open({ seed: 9 });
    const bad = logisticBatch(8, 1);
    bad.feeds.labels.data[0] = Infinity;
    await straight.step([logisticBatch(8, 0)]);
    await straight.step([bad]);
    straight.saveState(path);
    const resumed = await open({ seed: 9 });
    expect(resumed.loadState(path)).to.deep.equal({ step: 1, skipped: 1, skippedInRow: 1 });
    for (let t = 2; t < 8; t++) {
      await straight.step([logisticBatch(8, t)]);
      await resumed.step([logisticBatch(8, t)]);
    }
    expect(everything(resumed)).to.deep.equal(everything(straight));
    const other = await open({ seed: 8 });
    expect(() => other.loadState(path)).to.throw(UserError, "seed 9, this run has 8");
  });

  it("evaluates without dropout, and forwards without labels", async () => {
    const engine = await open();
    const batch = logisticBatch(8, "e");
    const { outputs, lossSum, lossWeight } = await engine.evaluate(batch);
    expect(lossWeight).to.equal(8);
    const w = [0.1, -0.1, 0.6, 0.05, -0.1];
    const scores = rows(batch.feeds.x.data).map((x) => x.reduce((s, v, j) => s + v * w[j]!, 0.02));
    outputs.score!.data.forEach((v, i) => expect(v).to.be.closeTo(scores[i]!, 1e-6));
    const loss = scores.reduce((s, v, i) => s + Math.log1p(Math.exp(v)) - batch.feeds.labels.data[i]! * v, 0);
    expect(lossSum).to.be.closeTo(loss, 1e-5);
    const { score } = await engine.forward({ feeds: { x: batch.feeds.x } });
    expect(score!.data).to.deep.equal(outputs.score!.data);
  });

  it("takes hyper-parameters for one step, and refuses unknown ones", async () => {
    const engine = await open();
    const before = everything(engine).w;
    await engine.step([logisticBatch(8, 0)], { "hyper/lr": 0 });
    expect(everything(engine).w).to.deep.equal(before);
    expect(await refusal(engine.step([logisticBatch(8, 0)], { "hyper/lt": 0 }))).to.match(
      /"hyper\/lt".*mean "hyper\/lr"/,
    );
  });

  it("says what is wrong with a batch", async () => {
    const engine = await open();
    const { x, labels } = logisticBatch(4, 0).feeds;
    const step = (feeds: Record<string, HostTensor>) => refusal(engine.step([{ feeds }]));
    expect(await step({ x })).to.match(/the batch has no "labels", which .*curvature_step\.onnx needs/);
    expect(await step({ x, labels, y: x })).to.contain('the batch has "y", the model\'s inputs are x, labels');
    expect(await step({ x: { ...x, dims: [5, 4] }, labels })).to.contain("dimension 1 is fixed at 5");
    expect(await step({ x: { ...x, dims: [20] }, labels })).to.contain('"x" is [20], the model takes [batch,5]');
    expect(await step({ x, labels: { ...labels, dims: [3], data: new Float32Array(3) } })).to.contain(
      '"labels" has 3 in dimension 0 ("batch"), "x" has 4',
    );
    expect(await step({ x, labels: { dtype: "int64", dims: [4], data: new BigInt64Array(4) } })).to.contain(
      '"labels" is int64, the model takes float32',
    );
    expect(await step({ x, labels: { ...labels, data: new Float32Array(3) } })).to.contain("3 elements for shape [4]");
    expect(await refusal(engine.step([]))).to.contain("at least one batch");
  });

  it("refuses unknown options, providers and drivers", async () => {
    expect(await refusal(open({ provider: "cuba" }))).to.contain("use one of cpu, cuda, dml, webgpu");
    expect(await refusal(open({ thread: 2 } as EngineOptions))).to.match(
      /option "thread" is not known.*mean "threads"/,
    );
    expect(await refusal(open({ threads: 0 }))).to.contain("threads: 0");
    expect(await refusal(open({ driver: "x" as "fused" }))).to.contain("one of fused, phases");
    const missing = await refusal(open({ provider: process.platform === "win32" ? "cuda" : "dml" }));
    expect(missing).to.match(/provider "\w+" cannot be used here: .*or use cpu/);
  });
});

const rows = (x: Float32Array) =>
  Array.from({ length: x.length / features }, (_, i) => [...x.subarray(i * features, (i + 1) * features)]);

function slice({ feeds }: LogisticBatch, from: number, to: number) {
  const x = { ...feeds.x, dims: [to - from, features], data: feeds.x.data.subarray(from * features, to * features) };
  return { feeds: { x, labels: { ...feeds.labels, dims: [to - from], data: feeds.labels.data.subarray(from, to) } } };
}

/** The same training in float64, written from the formulas: p = [w, b], features scaled and masked, a 1 appended for b. */
class Reference {
  p = [0.1, -0.2, 0.3, 0.05, -0.1, 0.02];
  h = this.p.map(() => 1);
  private momentum = this.p.map(() => 0);

  constructor(private readonly seed: number) {}

  step({ size, feeds }: LogisticBatch, t: number) {
    const mask = new Uint8Array(size * features);
    draw(mask, "bernoulli", [this.seed, "random/dropout/0", t, 0, 0], 0.9);
    const scale = [1, 0.5, 2, 1, 1];
    const xs = rows(feeds.x.data).map((x, i) => [
      ...x.map((v, j) => (v * scale[j]! * mask[i * features + j]!) / 0.9),
      1,
    ]);
    const dot = (a: number[], b: number[]) => a.reduce((s, v, i) => s + v * b[i]!, 0);
    const back = (f: (x: number[], i: number) => number) =>
      this.p.map((_, j) => xs.reduce((s, x, i) => s + f(x, i) * x[j]!, 0) / size);
    const y = feeds.labels.data;
    const sigmoid = (s: number) => 1 / (1 + Math.exp(-s));
    const loss = (p: number[]) =>
      xs.reduce((s, x, i) => s + Math.log1p(Math.exp(dot(x, p))) - y[i]! * dot(x, p), 0) / size;
    const gradient = (p: number[]) => back((x, i) => sigmoid(dot(x, p)) - y[i]!);
    const g = gradient(this.p);
    if (t % 3 === 0) {
      const z = [new Float32Array(features), new Float32Array(1)];
      draw(z[0]!, "normal", [this.seed, "z/w", t, 0, 0]);
      draw(z[1]!, "normal", [this.seed, "z/b", t, 0, 0]);
      const probe = [...z[0]!, ...z[1]!];
      const hz = back((x) => sigmoid(dot(x, this.p)) * (1 - sigmoid(dot(x, this.p))) * dot(x, probe));
      this.h = this.h.map((h, i) => 0.9 * h + 0.1 * Math.abs(probe[i]! * hz[i]!));
    }
    const d = this.h.map((h) => Math.max(Math.sqrt(h), 0.01));
    const norm = Math.sqrt(g.reduce((s, v, i) => s + (v * v) / d[i]!, 0));
    const perturbed = this.p.map((v, i) => v + (0.05 * g[i]!) / d[i]! / norm);
    const result = { loss: loss(this.p), perturbedLoss: loss(perturbed) };
    this.momentum = gradient(perturbed).map((v, i) => 0.9 * this.momentum[i]! + v);
    this.p = this.p.map((v, i) => v - 0.1 * this.momentum[i]!);
    return result;
  }
}
