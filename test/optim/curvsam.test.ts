import { expect } from "chai";
import { estimatorNames } from "../../src/curvature/estimator.js";
import { findSource } from "../../src/frontend/source.js";
import { compose } from "../../src/optim/compose.js";
import { must } from "../../src/util/assert.js";
import { Rng } from "../../src/util/rng.js";
import { array } from "../reference/array.js";
import { samPerturbation } from "../reference/ascents.js";
import { zip, type Vectors } from "../reference/optimizers.js";
import { firstRows } from "../support/follow.js";
import { hessian, quadratic, tinyEncoder } from "../support/nets.js";
import { Trainer, type Feeds } from "../support/trainer.js";
import { twoLayers } from "../support/two_layers.js";
import { wave, waves } from "../support/waves.js";

const source = findSource(twoLayers(), { loss: { kind: "mse" } });
const rows = 4;
const batch = (t: number): Feeds => ({
  ...waves(t, rows),
  "random/labels": wave([rows, 2], (i) => 1.3 * Math.sin(2.7 * i + t)),
  "random/signs": wave([rows, 2], (i) => (Math.sin(1.9 * i + t) > 0 ? 1 : -1)),
});
const probes = (w: Vectors, t: number, k = 0): Vectors =>
  w.map((x, i) => x.map((_, j) => 1.5 * Math.sin(5 * j + 3 * i + t + 11 * k)));
const near = (got: Vectors, want: Vectors, bound: number, what: string): void =>
  got.forEach((x, k) => x.forEach((v, i) => expect(Math.abs(v - (want[k]?.[i] ?? NaN)), what).to.be.below(bound)));
const state = (trainer: Trainer, kind: string): Float64Array[] =>
  trainer.names.map((n) => must(trainer.feeds[`${kind}/${n}`], n).data);
function softmax(x: Float64Array): Float64Array {
  const e = x.map(Math.exp);
  const sum = e.reduce((a, b) => a + b);
  return e.map((v) => v / sum);
}

/** The mean of a sample, and its standard error. */
function meanOf(x: readonly number[]): { mean: number; error: number } {
  const mean = x.reduce((s, v) => s + v, 0) / x.length;
  const variance = x.reduce((s, v) => s + (v - mean) ** 2, 0) / x.length;
  return { mean, error: Math.sqrt(variance / x.length) };
}

describe("CurvSAM's estimators in float64", () => {
  for (const name of ["hvp", "finite-difference", "gnb", "gauss-newton"] as const) {
    it(`${name} of half the batch is that of its first rows`, () => {
      const run = (share: number, feeds: Feeds): Vectors => {
        const optimizer = compose("curvsam", "sgd", { ascent: { estimator: name, share } });
        const trainer = new Trainer(source, optimizer, { beta: 0 });
        const z = trainer.named("z/", probes(trainer.weights(), 0));
        trainer.run(0, { ...feeds, ...z });
        return state(trainer, "curvature");
      };
      // The third part of four rows is two of them.
      near(run(0.4, batch(0)), run(1, firstRows(batch(0), 0.5)), 1e-9, name);
    });
  }

  // The bias of a classifier sees the logits themselves: its Gauss-Newton diagonal is the mean of p(1 − p).
  for (const [name, noise, dims] of [
    ["gnb", "random/labels", [2]],
    ["gauss-newton", "random/signs", [2, 3]],
  ] as const) {
    it(`${name} of cross-entropy: N ĝ ⊙ ĝ is the Gauss-Newton diagonal on average`, () => {
      const encoder = findSource(tinyEncoder(), { loss: { kind: "cross-entropy", labelSmoothing: 0.1 } });
      const optimizer = compose("curvsam", "sgd", { ascent: { estimator: name } });
      const trainer = new Trainer(encoder, optimizer);
      const ids = array("int64", [2, 3], [0, 3, 5, 1, 1, 4]);
      const labels = array("int64", [2], [2, 0]);
      const w = trainer.weights();
      const parameter = "classifier.bias";
      const rng = new Rng("labels", 4);
      const one = (): number => (name === "gnb" ? rng.uniform() : Math.sign(rng.uniform() - 0.5));
      const squares: number[][] = [];
      for (let k = 0; k < 1000; k++) {
        const drawn = array("float32", [...dims], Array.from({ length: dims.reduce((a, d) => a * d, 1) }, one));
        const out = trainer.measure(optimizer, "ascent", w, { ids, labels, [noise]: drawn });
        squares.push(Array.from(must(out[`sampled_grad/${parameter}`], parameter).data, (x) => 2 * x * x));
      }
      const logits = trainer.outputs(w, { ids }).data;
      const p = [0, 1].map((row) => softmax(logits.subarray(3 * row, 3 * row + 3)));
      for (let c = 0; c < 3; c++) {
        const want = p.reduce((s, row) => s + (row[c] ?? NaN) * (1 - (row[c] ?? NaN)), 0) / 2;
        const { mean, error } = meanOf(squares.map((x) => x[c] ?? NaN));
        expect(Math.abs(mean - want), `class ${c}`).to.be.below(4 * error);
        expect(error / want).to.be.below(0.1);
      }
    });
  }

  it("gauss-newton of binary cross-entropy: N ĝ ⊙ ĝ is the mean of p(1 − p) at a bias, whatever the signs of one row", () => {
    const optimizer = compose("curvsam", "sgd", { ascent: { estimator: "gauss-newton" } });
    const trainer = new Trainer(findSource(twoLayers(), { loss: { kind: "bce-with-logits" } }), optimizer);
    const feeds = firstRows(batch(0), 0.25);
    const out = trainer.measure(optimizer, "ascent", trainer.weights(), feeds);
    const logits = trainer.outputs(trainer.weights(), feeds).data;
    // Two logits, of which each bias sees one: N = 2, and (±√(p(1 − p))/2)² · 2.
    must(out["sampled_grad/second.bias"], "the bias").data.forEach((x, c) => {
      const p = 1 / (1 + Math.exp(-(logits[c] ?? NaN)));
      expect(2 * x * x).to.be.closeTo((p * (1 - p)) / 2, 1e-9);
    });
  });

  for (const probe of ["normal", "rademacher"] as const) {
    it(`the signed Hutchinson diagonal with ${probe} probes is unbiased, with the variance of its formula`, () => {
      const optimizer = compose("curvsam", "sgd", { ascent: { probe } });
      const trainer = new Trainer(findSource(quadratic(), { loss: { kind: "output", output: "loss" } }), optimizer);
      const rng = new Rng("hutchinson", probe);
      const draws = 4000;
      const x = wave([2, 3], (i) => Math.sin(i));
      const found = Array.from({ length: draws }, () => {
        const z = new Float32Array(3);
        if (probe === "normal") rng.fillNormal(z);
        else z.forEach((_, i) => (z[i] = rng.uniform() < 0.5 ? -1 : 1));
        const [hz = new Float64Array(3)] = trainer.hvp(trainer.weights(), [Float64Array.from(z)], { x });
        return hz.map((v, i) => v * (z[i] ?? NaN));
      });
      hessian.forEach((row, i) => {
        const off = row.reduce((s, v, j) => (i === j ? s : s + v * v), 0);
        const variance = off + (probe === "normal" ? 2 * (row[i] ?? NaN) ** 2 : 0);
        const mean = found.reduce((s, d) => s + (d[i] ?? NaN), 0) / draws;
        expect(Math.abs(mean - (row[i] ?? NaN))).to.be.below(4 * Math.sqrt(variance / draws));
        const seen = found.map((d) => ((d[i] ?? NaN) - mean) ** 2);
        const spread = seen.reduce((s, v) => s + v, 0) / draws;
        // Standard error of a variance from the fourth moment that was seen.
        const fourth = seen.reduce((s, v) => s + v * v, 0) / draws;
        expect(Math.abs(spread - variance)).to.be.below(4 * Math.sqrt((fourth - spread ** 2) / draws) + 1e-12);
      });
    });
  }
});

const groupOf = (name: string): string => (name.endsWith("bias") ? "biases" : "default");
const grouped = findSource(twoLayers(), { loss: { kind: "mse" }, group: groupOf });

/** One step's ε, from where the second gradient was taken: w + ε is not among the outputs, so SGD's step shows it. */
function epsilonOf(trainer: Trainer, feeds: Feeds): Vectors {
  return trainer.perturbation(trainer.weights(), feeds);
}

describe("CurvSAM's options in float64", () => {
  it("keeps h where an estimate has no scale: the secant along a gradient of zero", () => {
    const optimizer = compose("curvsam", "sgd", { ascent: { estimator: "secant-gradient" } });
    const trainer = new Trainer(source, optimizer, { weight_decay: 0 });
    Object.assign(
      trainer.feeds,
      trainer.named(
        "",
        trainer.weights().map((x) => x.map(() => 0)),
      ),
    );
    trainer.run(0, { ...batch(0), labels: wave([rows, 2], () => 0) });
    for (const h of state(trainer, "curvature")) for (const x of h) expect(x).to.equal(1);
  });

  it("εᵀDε = ρ², and Σ εₖᵀDₖεₖ/ρₖ² = 1 with a radius for each group", () => {
    for (const scope of ["global", "group"] as const) {
      const trainer = new Trainer(
        grouped,
        compose("curvsam", "sgd", { ascent: { scope } }),
        {},
        {
          rho: { default: 0.1, biases: 0.4 },
        },
      );
      const w = trainer.weights();
      const z = probes(w, 0);
      trainer.run(0, { ...batch(0), ...trainer.named("z/", z) });
      const e = epsilonOf(trainer.at(w), batch(0));
      const h = state(trainer, "curvature");
      const parts = trainer.names.map((n, k) => {
        const rho = groupOf(n) === "biases" ? 0.4 : 0.1;
        const d = zip((x) => Math.max(Math.sqrt(x), 0.01), h);
        const own: Float64Array = e[k]!;
        let sum = 0;
        own.forEach((x, i) => (sum += (x * x * d[k]![i]!) / rho ** 2));
        return sum;
      });
      const sum = (f: (name: string) => boolean): number =>
        parts.reduce((s, x, k) => (f(trainer.names[k] ?? "") ? s + x : s), 0);
      if (scope === "global") expect(sum(() => true)).to.be.closeTo(1, 1e-10);
      else for (const group of ["default", "biases"]) expect(sum((n) => groupOf(n) === group)).to.be.closeTo(1, 1e-10);
    }
  });

  it("is SAM at ρ/√δ where δ is above every √h", () => {
    const trainer = new Trainer(source, compose("curvsam", "sgd"), { delta: 1e4, rho: 0.1 });
    const w = trainer.weights();
    trainer.run(0, { ...batch(0), ...trainer.named("z/", probes(w, 0)) });
    const want = samPerturbation(trainer.gradient(w, batch(0)), 0.1 / Math.sqrt(1e4));
    near(epsilonOf(trainer.at(w), batch(0)), want, 1e-12, "ε");
  });

  it("never changes h at β = 1, whatever the estimator", () => {
    for (const name of estimatorNames) {
      const trainer = new Trainer(source, compose("curvsam", "sgd", { ascent: { estimator: name } }), { beta: 1 });
      trainer.run(0, { ...batch(0), ...trainer.named("z/", probes(trainer.weights(), 0)) });
      for (const h of state(trainer, "curvature")) for (const x of h) expect(x).to.equal(1);
    }
  });
});
