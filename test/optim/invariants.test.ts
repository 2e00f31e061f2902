import { expect } from "chai";
import { findSource } from "../../src/frontend/source.js";
import { compose, type ComposeOptions } from "../../src/optim/compose.js";
import { must } from "../../src/util/assert.js";
import { inner, norm, zip, type Vectors } from "../reference/optimizers.js";
import { cells, workingCells } from "../support/cells.js";
import { oneElementNet } from "../support/nets.js";
import { Trainer, type Feeds } from "../support/trainer.js";
import { rejects } from "../support/rejects.js";
import { twoLayers } from "../support/two_layers.js";
import { wave, waves } from "../support/waves.js";

const source = findSource(twoLayers(), { loss: { kind: "mse" } });
const batch = (t: number): Feeds => waves(t);
const probesFor = (trainer: Trainer): Feeds => {
  const z = trainer.weights().map((x) => x.map((_, j) => (j % 2 === 0 ? 1 : -1)));
  return { ...trainer.named("z/", z), ...trainer.named("base_z/", z) };
};
const near = (got: Vectors, want: Vectors, bound: number): void =>
  got.forEach((x, k) => x.forEach((v, i) => expect(Math.abs(v - (want[k]?.[i] ?? NaN))).to.be.below(bound)));

/** Where SGD at rate 1 went: the descent gradient. */
function descent(trainer: Trainer, t: number, feeds: Feeds = {}): Vectors {
  const before = trainer.weights();
  trainer.run(t, { ...batch(t), ...probesFor(trainer), ...feeds });
  return zip((x, y) => x - y, before, trainer.weights());
}

describe("what holds of ascents and combine rules", () => {
  it("ASAM's ε follows a rescaling of the weights, ε(Aw) = Aε(w), with η = 0 and every tensor adapted; SAM's does not", () => {
    const scale = [2, 0.5, 3, 0.25];
    // The loss at A⁻¹w has the gradient A⁻¹g at Aw: the graph of ε reads gradients and weights alone.
    const run = (ascent: string, options: Record<string, unknown>): [Vectors, Vectors] => {
      const trainer = new Trainer(source, compose(ascent, "sgd", { ascent: options }), { eta: 0, rho: 0.1 });
      const w = trainer.weights();
      const g = trainer.gradient(w, batch(0));
      const by = (x: Vectors, f: (s: number) => number): Vectors =>
        x.map((t, k) => t.map((v) => v * f(scale[k] ?? NaN)));
      const plain = trainer.perturbationOf(w, g);
      const scaled = trainer.perturbationOf(
        by(w, (s) => s),
        by(g, (s) => 1 / s),
      );
      return [by(plain, (s) => s), scaled];
    };
    const [want, got] = run("asam", { adapt: "all", eta: 0 });
    near(got, want, 1e-12);
    const [other, sam] = run("sam", {});
    expect(norm(zip((x, y) => x - y, sam, other))).to.be.above(0.01);
  });

  it("GSAM's ascent component is orthogonal to the second gradient", () => {
    const at = (alpha: number): Vectors =>
      descent(
        new Trainer(source, compose("sam", "sgd", { combine: "gsam" }), { lr: 1, lr_max: 1, alpha, rho: 0.1 }),
        0,
      );
    const second = at(0);
    const component = zip((x, y) => y - x, at(1), second);
    expect(norm(component)).to.be.above(1e-3);
    expect(Math.abs(inner(component, second)) / norm(component) / norm(second)).to.be.below(1e-12);
  });

  it("GSAM's radius follows the learning rate linearly, between its bounds and never below 0", () => {
    const at = (lr: number, rhoMin: number): number => {
      const optimizer = compose("sam", "sgd", { combine: "gsam" });
      const trainer = new Trainer(source, optimizer, { lr, lr_max: 0.1, lr_min: 0.02, rho: 0.3, rho_min: rhoMin });
      return trainer.run(0, batch(0))["perturbation_norm"]?.data[0] ?? NaN;
    };
    expect(at(0.1, 0.1)).to.be.closeTo(0.3, 1e-9);
    expect(at(0.02, 0.1)).to.be.closeTo(0.1, 1e-9);
    expect(at(0.06, 0.1)).to.be.closeTo(0.2, 1e-9);
    expect(at(0.001, 0)).to.equal(0);
  });

  it("GSAM takes the radius itself where the learning rate is what it started from", () => {
    const { hyper } = compose("sam", "adamw", { combine: "gsam", hyper: { lr: 0.003 } });
    expect(hyper.find((h) => h.name === "lr_max")?.default).to.equal(0.003);
  });

  it("LookSAM at k = 1 is SAM, and keeps nothing", () => {
    const look = compose("sam", "adamw", { combine: "looksam", combineOptions: { period: 1 } });
    expect(look.state).to.deep.equal(compose("sam", "adamw").state);
    const [a, b] = [new Trainer(source, look), new Trainer(source, compose("sam", "adamw"))];
    for (let t = 0; t < 4; t++) {
      a.run(t, batch(t));
      b.run(t, batch(t));
    }
    near(a.weights(), b.weights(), 1e-15);
  });

  it("LookSAM by tensor keeps in each the part orthogonal to its gradient", () => {
    const options: ComposeOptions = { combine: "looksam", combineOptions: { period: 2, scope: "tensor" } };
    const trainer = new Trainer(source, compose("sam", "sgd", options), { rho: 0.1, alpha: 0.5, lr: 1 });
    const g = trainer.gradient(trainer.weights(), batch(0));
    descent(trainer, 0);
    const kept = trainer.names.map((n) => must(trainer.feeds[`look_v/${n}`], n).data);
    kept.forEach((v, k) => expect(Math.abs(inner([v], [g[k] ?? v]))).to.be.below(1e-12));
    const next = trainer.gradient(trainer.weights(), batch(1));
    const want = next.map((x, k) => {
      const v = kept[k] ?? x;
      return x.map((y, i) => y + ((0.5 * norm([x])) / norm([v])) * (v[i] ?? NaN));
    });
    near(descent(trainer, 1), want, 1e-10);
  });

  it("clips the descent gradient by value, then by norm, and never ε", () => {
    const hyper = { lr: 1, rho: 0.1, clip_value: 0.05, clip_norm: 0.08 };
    const [clipped, free] = [hyper, {}].map(
      (given) => new Trainer(source, compose("sam", "sgd", { hyper: given }), { ...hyper }),
    ) as [Trainer, Trainer];
    const raw = descent(free, 0);
    const bounded = zip((x) => Math.max(-0.05, Math.min(0.05, x)), raw);
    const factor = Math.min(1, 0.08 / norm(bounded));
    expect(factor).to.be.below(1);
    expect(norm(raw)).to.be.above(norm(bounded));
    const w = clipped.weights();
    near(
      descent(clipped, 0),
      zip((x) => x * factor, bounded),
      1e-9,
    );
    near(clipped.perturbation(w, batch(0)), free.perturbation(w, batch(0)), 1e-15);
  });

  it("a scale of the loss changes no step, until it overflows: then the step is skipped", () => {
    const at = (scale?: number): Trainer => {
      const given = scale === undefined ? {} : { loss_scale: scale };
      const trainer = new Trainer(source, compose("curvsam", "adamw", { hyper: given }), given);
      const labels = wave([4, 2], (i) => 1e3 * (i + 1));
      const out = trainer.run(0, { ...batch(0), labels, ...probesFor(trainer) });
      expect(out["skipped"]?.data[0]).to.equal(scale === 1e308 ? 1 : 0);
      return trainer;
    };
    near(at(1024).weights(), at().weights(), 1e-12);
    const overflown = at(1e308);
    near(overflown.weights(), new Trainer(source, compose("none", "sgd")).weights(), 1e-300);
  });
});

describe("NaN and Inf in either pass leave the state as it was; a zero gradient moves nothing; then it goes on", () => {
  const combinations: [string, string, ComposeOptions][] = [
    ...workingCells.map(({ ascent, combine, base }): [string, string, ComposeOptions] => [ascent, base, { combine }]),
    ["curvsam", "sassha", { ascent: { estimator: "secant", floor: "relative", initial: "zero" } }],
    ["sam", "adamw", { combine: "looksam", combineOptions: { period: 2, scope: "tensor" }, hyper: { clip_norm: 1 } }],
    ["curvsam", "sgd", { ascent: { granularity: "group", floor: "relative", radius: "euclidean" } }],
  ];
  for (const [ascent, base, options] of combinations) {
    const { combine = "plain", ...rest } = options;
    const noise = wave([4, 2], (i) => Math.sin(3 * i));
    const make = (hyper: Record<string, number> = {}): Trainer => {
      const settled = { ...options, ...(base === "kfac" && { base: { fisher: "empirical" } }) };
      return new Trainer(source, compose(ascent, base, settled), { weight_decay: 0, ...hyper });
    };
    const feeds = (trainer: Trainer, t: number): Feeds => ({
      ...{ ...batch(t), ...probesFor(trainer), "random/labels": noise },
    });
    const skips = (trainer: Trainer, t: number, given: Feeds): void => {
      const before = { ...trainer.feeds };
      const out = trainer.run(t, given);
      expect(out["skipped"]?.data[0]).to.equal(1);
      for (const [name, x] of Object.entries(before)) {
        expect([...must(trainer.feeds[name], name).data], name).to.deep.equal([...x.data]);
      }
    };

    const title = [ascent, combine, base, ...Object.values(rest).map((o) => JSON.stringify(o))].join(", ");
    it(title, () => {
      const trainer = make();
      trainer.run(0, feeds(trainer, 0));
      for (const value of [NaN, Infinity]) {
        skips(trainer, 1, { ...feeds(trainer, 1), labels: wave([4, 2], (i) => (i === 3 ? value : 1)) });
      }
      if (ascent !== "none") {
        // Only the second pass overflows.
        const far = make({ rho: 1e200, rho_min: 1e200 });
        skips(far, 0, feeds(far, 0));
      }
      // With weights and labels of 0, the gradient is 0.
      const still = make();
      const zero = still.weights().map((x) => x.map(() => 0));
      Object.assign(still.feeds, still.named("", zero));
      for (let t = 0; t < 3; t++) {
        const out = still.run(t, { ...feeds(still, t), labels: wave([4, 2], () => 0) });
        expect(out["skipped"]?.data[0], `step ${t}`).to.equal(0);
        near(still.weights(), zero, 1e-300);
      }
      expect(trainer.run(1, feeds(trainer, 1))["skipped"]?.data[0]).to.equal(0);
      expect(trainer.weights().every((x) => x.every(Number.isFinite))).to.equal(true);
    });
  }

  for (const base of ["adahessian", "sassha"]) {
    it(`${base} keeps its diagonal where Hz is not finite, takes the gradient before the first, and goes on`, () => {
      const trainer = new Trainer(source, compose("none", base), { lr: 0.01 });
      const bad = trainer.named(
        "base_z/",
        trainer.weights().map((x) => x.map(() => Infinity)),
      );
      const g = trainer.gradient(trainer.weights(), batch(0));
      const moved = descent(trainer, 0, bad);
      // m̂ is g after one step, and the diagonal counts as 1.
      near(
        moved,
        zip((x) => (0.01 * x) / (1 + 1e-4), g),
        1e-8,
      );
      expect(must(trainer.feeds[`state/${base}_c2`], "c2").data[0]).to.equal(0);
      trainer.run(base === "sassha" ? 10 : 1, { ...batch(1), ...probesFor(trainer) });
      expect(must(trainer.feeds[`state/${base}_c2`], "c2").data[0]).to.be.above(0);
    });
  }

  for (const [ascent, options] of Object.entries({ sam: {}, asam: { adapt: "all" }, curvsam: {} })) {
    it(`${ascent} neither perturbs nor moves a parameter that the loss does not reach`, () => {
      const loss = { kind: "mse", logits: "y" } as const;
      const trainer = new Trainer(findSource(oneElementNet(), { loss }), compose(ascent, "sgd", { ascent: options }));
      const reached = trainer.names.map((name) => name !== "unreached.weight");
      const feeds = { x: wave([4, 1], (i) => Math.sin(1.3 * i)), labels: wave([4], (i) => Math.cos(i)) };
      const w = trainer.weights();
      for (const x of [trainer.gradient(w, feeds), trainer.perturbation(w, feeds)]) {
        expect(x.map((v) => v.some((y) => y !== 0))).to.deep.equal(reached);
      }
      trainer.run(0, { ...feeds, ...probesFor(trainer) });
      expect(trainer.weights().map((x, k) => x.some((v, i) => v !== w[k]?.[i]))).to.deep.equal(reached);
      expect(trainer.weights().every((x) => x.every(Number.isFinite))).to.equal(true);
    });
  }

  it("leaves frozen parameters out of norms, state and steps, and takes groups of one element", () => {
    const frozen = findSource(twoLayers(), { loss: { kind: "mse" }, freeze: (n) => n !== "second.bias" });
    const optimizer = compose("curvsam", "adahessian", { ascent: { granularity: "group" } });
    const trainer = new Trainer(frozen, optimizer, { lr: 0.1, rho: 0.2 });
    expect(Object.keys(trainer.feeds).filter((n) => n.startsWith("curvature/"))).to.deep.equal([
      "curvature/second.bias",
    ]);
    const before = { ...trainer.feeds };
    const g = trainer.gradient(trainer.weights(), batch(0));
    const h = 0.9 + 0.1 * 1;
    const out = trainer.run(0, {
      ...batch(0),
      "z/second.bias": wave([2], () => 1),
      "base_z/second.bias": wave([2], () => 1),
    });
    expect(out["grad_norm"]?.data[0]).to.be.closeTo(norm(g), 1e-12);
    // The Hessian by the last bias is the identity: z ⊙ Hz is 1.
    expect(must(trainer.feeds["curvature/second.bias"], "h").data[0]).to.be.closeTo(h, 1e-12);
    expect(out["perturbation_norm"]?.data[0]).to.be.closeTo(0.2, 1e-9);
    for (const { name } of frozen.parameters) {
      const moved = must(trainer.feeds[name], name).data.some((v, i) => v !== before[name]?.data[i]);
      expect(moved, name).to.equal(name === "second.bias");
    }
  });
});

describe("the choice of parts and values", () => {
  it("refuses what has no meaning with its reason, and near misses with a suggestion", async () => {
    await rejects(
      () => compose("none", "sgd", { combine: "looksam" }),
      "none with looksam over sgd has no meaning",
      "second gradient",
    );
    await rejects(
      () => compose("none", "sgd", { combine: "gsam", hyper: { alpha: 0.1 } }),
      'none with gsam over sgd has no hyper-parameter "alpha"',
    );
    await rejects(() => compose("curvesam", "sgd"), 'no optimizer is called "curvesam"', 'did you mean "curvsam"');
    await rejects(() => compose("sam", "adahesian"), 'did you mean "adahessian"');
    await rejects(() => compose("sam", "sgd", { combine: "gsm" }), 'no combine rule is called "gsm"', 'mean "gsam"');
    await rejects(
      () => compose("curvsam", "sgd", { ascent: { frequncy: 3 } }),
      "not known",
      'did you mean "frequency"',
    );
    await rejects(
      () => compose("curvsam", "sgd", { ascent: { estimator: "hpv" } }),
      "curvsam: estimator",
      "finite-difference",
    );
    await rejects(
      () => compose("sam", "sgd", { hyper: { rhoo: 0.1 } }),
      'no hyper-parameter "rhoo"',
      'did you mean "rho"',
    );
  });

  it("refuses values out of their ranges, with the range and its reason", async () => {
    const refusals: [ComposeOptions, string, string, string][] = [
      [{ hyper: { rho: -1 } }, "rho: -1 came", "a number from 0 on expected", "a radius is a length"],
      [{ hyper: { beta: 1.5 } }, "beta: 1.5 came", "a number from 0 to 1 expected", "moving average"],
      [{ hyper: { delta: 0 } }, "delta: 0 came", "a number above 0 expected", "without bound"],
      [{ hyper: { momentum: 1 } }, "momentum: 1 came", "a number from 0 and below 1 expected", "never fade"],
      [{ hyper: { clip_norm: 0 } }, "clip_norm", "above 0", "stop training"],
      [{ hyper: { lr: NaN } }, "lr", "number", "expected"],
    ];
    for (const [options, ...parts] of refusals) await rejects(() => compose("curvsam", "sgd", options), ...parts);
  });

  it("refuses at most a tenth of all combinations", () => {
    expect(1 - workingCells.length / cells.length).to.be.within(0.01, 0.1);
  });
});
