import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findSource } from "../../src/frontend/source.js";
import { compose, type ComposeOptions } from "../../src/optim/compose.js";
import { must } from "../../src/util/assert.js";
import { scalar } from "../reference/array.js";
import { samPerturbation } from "../reference/ascents.js";
import { inner, norm, Sassha, zip, type Vectors } from "../reference/optimizers.js";
import { Shampoo } from "../reference/shampoo.js";
import { root } from "../support/root.js";
import { Trainer, type Feeds } from "../support/trainer.js";
import { twoLayers } from "../support/two_layers.js";
import { waves } from "../support/waves.js";

/** Weights after the step, one array a parameter. */
type Kept = Record<string, number[][]>;
const { packages, commits, cases, differing } = JSON.parse(
  readFileSync(join(root, "test", "fixtures", "optimizers.json"), "utf8"),
) as Record<"packages" | "commits", Record<string, string>> & Record<"cases" | "differing", Record<string, Kept>>;

const batch = (t: number): Feeds => waves(t);
const signs = (w: Vectors, t: number): Float64Array[] =>
  w.map((x, i) => x.map((_, j) => (Math.cos(7 * j + 2 * i + 3 * t) > 0 ? 1 : -1)));

/** What a fixture's optimizer is here. */
interface Ours extends ComposeOptions {
  ascent?: ComposeOptions["ascent"] & Record<string, unknown>;
  optimizer: string;
  over: string;
  values: Record<string, number>;
  /** Hyper-parameters that change from step to step. */
  at?: (t: number) => Record<string, number>;
  /**
   * Only matrices move, and each batch is given twice, at first with a rate of 0: roots are made before a step, of the statistics
   * before it, where the package makes them in the step, of the gradient of the step too.
   */
  shampoo?: true;
}

const diagonal = { lr: 0.05, beta1: 0.8, beta2: 0.9, weight_decay: 0.1, eps: 0.01 };
const shampoo = { statistics: 2, roots: 2, start: 1 };
const ours: Record<string, Ours> = {
  "torch SGD nesterov": {
    ...{ optimizer: "none", over: "sgd", base: { momentum: 0.8, nesterov: true } },
    values: { lr: 0.1, momentum: 0.8, weight_decay: 0.05 },
  },
  "torch SGD dampened": {
    ...{ optimizer: "none", over: "sgd", base: { momentum: 0.8 } },
    values: { lr: 0.1, momentum: 0.8, dampening: 0.3 },
  },
  "torch AdamW": {
    ...{ optimizer: "none", over: "adamw" },
    values: { lr: 0.05, beta1: 0.8, beta2: 0.9, eps: 1e-6, weight_decay: 0.1 },
  },
  "torch AdamW amsgrad": {
    ...{ optimizer: "none", over: "adamw", base: { amsgrad: true } },
    values: { lr: 0.05, beta1: 0.8, beta2: 0.9, eps: 1e-6, weight_decay: 0.1 },
  },
  SAM: { optimizer: "sam", over: "sgd", base: { momentum: 0.8 }, values: { rho: 0.1, lr: 0.1, momentum: 0.8 } },
  "SAM adaptive": { optimizer: "asam", over: "sgd", ascent: { adapt: "all" }, values: { rho: 0.3, eta: 0, lr: 0.1 } },
  GSAM: { optimizer: "sam", over: "sgd", combine: "gsam", values: { rho: 0.1, lr: 0.1, lr_max: 0.1, alpha: 0.3 } },
  // The package takes norms and angles tensor by tensor; the paper's are of the whole gradient.
  LookSAM: {
    ...{ optimizer: "sam", over: "sgd", combine: "looksam", combineOptions: { period: 3, scope: "tensor" } },
    values: { rho: 0.1, alpha: 0.4, lr: 0.1 },
  },
  AdaHessian: {
    ...{ optimizer: "none", over: "adahessian", base: { spatial: false, hessian_power: 0.5 } },
    values: diagonal,
  },
  Shampoo: {
    ...{ optimizer: "none", over: "shampoo", base: { ...shampoo, grafting: "none" }, shampoo: true },
    values: { lr: 0.05, shampoo_eps: 0.1, shampoo_ridge: 0 },
  },
  // Its ε is where the moving average starts, and fades; ours is added to every average.
  ScalableShampoo: {
    ...{ optimizer: "none", over: "shampoo", base: { ...shampoo, grafting: "sgd", block: 2 }, shampoo: true },
    values: { lr: 0.05, shampoo_decay: 0.9, shampoo_ridge: 0 },
    at: (t) => ({ shampoo_eps: 0.1 * 0.9 ** (t + 1) }),
  },
  "davda54 SAM": {
    ...{ optimizer: "sam", over: "sgd", base: { momentum: 0.8 } },
    values: { rho: 0.1, lr: 0.1, momentum: 0.8, weight_decay: 0.05 },
  },
  "davda54 SAM adaptive": {
    ...{ optimizer: "asam", over: "adamw", ascent: { adapt: "all" } },
    values: { rho: 0.3, eta: 0, lr: 0.05, weight_decay: 0.1 },
  },
  "SamsungLabs ASAM": {
    ...{ optimizer: "asam", over: "sgd", base: { momentum: 0.8 } },
    values: { rho: 0.3, eta: 0.05, lr: 0.1, momentum: 0.8 },
  },
  "juntang-zhuang GSAM": {
    ...{ optimizer: "sam", over: "sgd", combine: "gsam", base: { momentum: 0.8 } },
    values: { rho: 0.2, rho_min: 0.02, lr_max: 0.1, lr_min: 0.01, alpha: 0.3, momentum: 0.8 },
    at: (t) => ({ lr: 0.1 - 0.01 * t }),
  },
  "davda54 AdaHessian": {
    ...{ optimizer: "none", over: "adahessian", base: { spatial: false, hessian_power: 0.5 } },
    values: diagonal,
  },
  // Blocks of one element: its matrices are [in, out] here, whose rows it would average.
  "amirgholami AdaHessian": {
    ...{ optimizer: "none", over: "adahessian", base: { spatial: false, hessian_power: 0.5 } },
    values: diagonal,
  },
  "LOG-postech SASSHA": {
    ...{ optimizer: "sam", over: "sassha", base: { frequency: 1 } },
    values: { ...diagonal, rho: 0.1 },
  },
};

const group = (name: string): string => (name.endsWith("bias") ? "biases" : "default");
const source = findSource(twoLayers(), { loss: { kind: "mse" }, group });

function trainerOf({ optimizer, over, values, shampoo: matrices, ...options }: Ours): Trainer {
  const grouped = matrices ? { lr: { default: 0, biases: 0 } } : {};
  return new Trainer(source, compose(optimizer, over, options), values, grouped);
}

/** Step t of the fixture's optimizer. */
function step(trainer: Trainer, of: Ours, t: number): void {
  for (const [name, x] of Object.entries(of.at?.(t) ?? {})) trainer.feeds[`hyper/${name}`] = scalar(x, "float32");
  const feeds = { ...batch(t), ...trainer.named("base_z/", signs(trainer.weights(), t)) };
  if (!of.shampoo) {
    trainer.run(t, feeds);
    return;
  }
  for (const [k, rate] of [0, must(of.values["lr"], "lr")].entries()) {
    trainer.feeds["hyper/lr/default"] = scalar(rate, "float32");
    trainer.run(2 * t + k, feeds);
  }
}

const apart = (w: Vectors, kept: readonly (readonly number[])[]): number =>
  Math.max(...w.map((x, k) => Math.max(...x.map((v, i) => Math.abs(v - (kept[k]?.[i] ?? NaN))))));
const keptAt = (name: string, t: number): number[][] => must(differing[name]?.[String(t)], `${name} after ${t} steps`);

const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`);
const clones = Object.entries(commits).map(([name, commit]) => `${name} ${commit.slice(0, 7)}`);

describe(`steps in float64 as public implementations take them (${[...versions, ...clones].join(", ")})`, () => {
  for (const [name, kept] of Object.entries(cases)) {
    it(name, () => {
      const of = must(ours[name], `what ${name} is here`);
      const trainer = trainerOf(of);
      for (let t = 0; t < 10; t++) {
        step(trainer, of, t);
        const want = kept[String(t + 1)];
        if (want) expect(apart(trainer.weights(), want), `step ${t + 1}`).to.be.below(1e-6);
      }
    });
  }

  it("covers every fixture", () => expect(Object.keys(ours)).to.have.members(Object.keys(cases)));
});

describe("where public implementations differ, the paper decides", () => {
  const trainer = new Trainer(source, compose("none", "sgd"));
  const start = trainer.weights();
  const gradient = (w: Vectors, t: number): Vectors => trainer.gradient(w, batch(t));
  /** Biases stay, as in the fixtures. */
  const matricesOnly = (w: Vectors, next: Vectors): Vectors =>
    w.map((x, k) => (trainer.names[k]?.endsWith("bias") ? x : must(next[k], "weights")));

  it("LookSAM's norms are of the whole gradient: tensor by tensor, as pytorch_optimizer has it, steps are others", () => {
    const of = must(ours["LookSAM"], "LookSAM");
    const whole = trainerOf({ ...of, combineOptions: { period: 3 } });
    for (let t = 0; t < 2; t++) step(whole, of, t);
    // Liu et al. 2022, Algorithm 1: at step 1, g + α ‖g‖/‖g_v‖ g_v with g_v kept at step 0.
    const g0 = gradient(start, 0);
    const second = gradient(
      zip((x, e) => x + e, start, samPerturbation(g0, 0.1)),
      0,
    );
    const w1 = zip((x, d) => x - 0.1 * d, start, second);
    const gv = zip((s, x) => s - (inner(g0, second) / norm(g0) ** 2) * x, second, g0);
    const g1 = gradient(w1, 1);
    const w2 = zip((x, g, v) => x - 0.1 * (g + ((0.4 * norm(g1)) / norm(gv)) * v), w1, g1, gv);
    expect(
      apart(
        whole.weights(),
        w2.map((x) => [...x]),
      ),
    ).to.be.below(1e-9);
    expect(apart(w2, must(cases["LookSAM"]?.["2"], "LookSAM"))).to.be.above(1e-3);
  });

  it("SASSHA's H is of the perturbed point; its trainer goes back to w before it differentiates, and mixes the two", () => {
    const of = must(ours["LOG-postech SASSHA"], "SASSHA");
    const mine = trainerOf(of);
    step(mine, of, 0);
    const z = signs(start, 0);
    const point = zip((x, e) => x + e, start, samPerturbation(gradient(start, 0), 0.1));
    // Differences of the gradient at w + ε, which no code of second derivatives made.
    const h = 1e-5;
    const [up, down] = [1, -1].map((s) =>
      gradient(
        zip((x, v) => x + s * h * v, point, z),
        0,
      ),
    ) as [Vectors, Vectors];
    const reference = new Sassha({ lr: 0.05, beta1: 0.8, beta2: 0.9, epsilon: 0.01, weightDecay: 0.1 });
    reference.measure(
      z,
      zip((a, b) => (a - b) / (2 * h), up, down),
    );
    const want = reference.step(start, gradient(point, 0));
    expect(
      apart(
        mine.weights(),
        want.map((x) => [...x]),
      ),
    ).to.be.below(1e-7);
    expect(apart(want, keptAt("LOG-postech SASSHA trainer", 1))).to.be.above(1e-3);
  });

  it("a lazy average over n measurements is corrected by 1 − βⁿ; SASSHA's code takes the number of steps, and falls short", () => {
    const of = must(ours["LOG-postech SASSHA"], "SASSHA");
    const lazy: Ours = { ...of, base: { frequency: 3 } };
    const mine = trainerOf(lazy);
    for (let t = 0; t < 10; t++) {
      step(mine, lazy, t);
      // One measurement until here: 1 step, 1 refresh.
      if (t < 2)
        expect(
          apart(mine.weights(), must(differing["LOG-postech SASSHA lazy"]?.[String(t + 1)], "a step")),
        ).to.be.below(1e-6);
    }
    expect(apart(mine.weights(), keptAt("LOG-postech SASSHA lazy", 10))).to.be.above(1e-3);
    // Of a diagonal that is always D, the corrected average is D: so that each step is lr·D/√D.
    const [lr, d] = [0.1, 0.7];
    const sassha = new Sassha({ lr, beta1: 0, beta2: 0.9, epsilon: 0 });
    let w: Vectors = [Float64Array.of(0)];
    for (let t = 0; t < 10; t++) {
      if (t % 3 === 0) sassha.measure([Float64Array.of(1)], [Float64Array.of(d)]);
      w = sassha.step(w, [Float64Array.of(d)]);
    }
    expect(w[0]?.[0]).to.be.closeTo(-10 * lr * Math.sqrt(d), 1e-12);
  });

  it("Shampoo's roots are of order 2k, and both sides' statistics of the gradient itself: not so in moskomule's", () => {
    // Gupta, Koren & Singer 2018, Algorithm 1, at the first step: the matrices move by L^(−1/4) G R^(−1/4).
    const reference = new Shampoo(
      { lr: 0.05, block: 8, grafting: "none", epsilon: 0.1, ridge: 0, statistics: 2, roots: 2, start: 1 },
      trainer.shapes(),
    );
    const g = gradient(start, 0);
    reference.step(start, g);
    const want = matricesOnly(start, reference.step(start, g));
    expect(apart(want, must(cases["Shampoo"]?.["1"], "Shampoo"))).to.be.below(1e-9);
    const theirs = keptAt("moskomule Shampoo", 1);
    expect(
      apart(
        matricesOnly(
          start,
          theirs.map((x) => Float64Array.from(x)),
        ),
        want.map((x) => [...x]),
      ),
    ).to.be.above(1e-3);
  });

  it("a matrix has two sides, in blocks too: ScalableShampoo's interpretation of shapes gives it a third, of one element", () => {
    // The agreeing case is the same without the interpretation; with it the roots are of order 6.
    const theirs = keptAt("ScalableShampoo shapes", 1);
    expect(
      apart(
        must(cases["ScalableShampoo"]?.["1"], "a step").map((x) => Float64Array.from(x)),
        theirs,
      ),
    ).to.be.above(1e-4);
  });

  it("Shampoo's first roots are I: with lazy roots, pytorch_optimizer's are 0 and nothing moves until they are made", () => {
    expect(apart(start, keptAt("Shampoo lazy", 2))).to.equal(0);
    const of = must(ours["Shampoo"], "Shampoo");
    const lazy: Ours = { ...of, base: { grafting: "none", statistics: 1, roots: 3 } };
    const mine = trainerOf(lazy);
    mine.feeds["hyper/lr/default"] = scalar(0.05, "float32");
    mine.run(0, batch(0));
    const want = matricesOnly(
      start,
      zip((x, g) => x - 0.05 * g, start, gradient(start, 0)),
    );
    expect(
      apart(
        mine.weights(),
        want.map((x) => [...x]),
      ),
    ).to.be.below(1e-9);
  });
});
