import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findSource } from "../../src/frontend/source.js";
import { compose, type ComposeOptions } from "../../src/optim/compose.js";
import { array, type Array64 } from "../reference/array.js";
import { root } from "../support/root.js";
import { Trainer } from "../support/trainer.js";
import { twoLayers } from "../support/two_layers.js";

const { packages, cases } = JSON.parse(readFileSync(join(root, "test", "fixtures", "optimizers.json"), "utf8")) as {
  packages: Record<string, string>;
  cases: Record<string, Record<string, number[][]>>;
};

const wave = (dims: number[], f: (i: number) => number): Array64 =>
  array(
    "float32",
    dims,
    Array.from({ length: dims.reduce((n, d) => n * d, 1) }, (_, i) => f(i)),
  );

/** What each fixture's optimizer is here: ascent, base, options, hyper-parameters. */
const ours: Record<string, [string, string, ComposeOptions, Record<string, number>]> = {
  "torch SGD nesterov": [
    "none",
    "sgd",
    { base: { momentum: 0.8, nesterov: true } },
    { lr: 0.1, momentum: 0.8, weight_decay: 0.05 },
  ],
  "torch SGD dampened": ["none", "sgd", { base: { momentum: 0.8 } }, { lr: 0.1, momentum: 0.8, dampening: 0.3 }],
  "torch AdamW": ["none", "adamw", {}, { lr: 0.05, beta1: 0.8, beta2: 0.9, eps: 1e-6, weight_decay: 0.1 }],
  "torch AdamW amsgrad": [
    ...(["none", "adamw", { base: { amsgrad: true } }] as const),
    { lr: 0.05, beta1: 0.8, beta2: 0.9, eps: 1e-6, weight_decay: 0.1 },
  ],
  SAM: ["sam", "sgd", { base: { momentum: 0.8 } }, { rho: 0.1, lr: 0.1, momentum: 0.8 }],
  "SAM adaptive": ["asam", "sgd", { ascent: { adapt: "all" } }, { rho: 0.3, eta: 0, lr: 0.1 }],
  GSAM: ["sam", "sgd", { combine: "gsam" }, { rho: 0.1, lr: 0.1, lr_max: 0.1, alpha: 0.3 }],
  // The package takes norms and angles tensor by tensor; the paper's are of the whole gradient.
  LookSAM: [
    "sam",
    "sgd",
    { combine: "looksam", combineOptions: { period: 3, scope: "tensor" } },
    { rho: 0.1, alpha: 0.4, lr: 0.1 },
  ],
  AdaHessian: [
    ...(["none", "adahessian", { base: { spatial: false, hessian_power: 0.5 } }] as const),
    { lr: 0.05, beta1: 0.8, beta2: 0.9, weight_decay: 0.1, eps: 0.01 },
  ],
};

describe(`steps in float64 as public packages take them (torch ${packages["torch"]}, pytorch_optimizer ${packages["pytorch_optimizer"]})`, () => {
  for (const [name, kept] of Object.entries(cases)) {
    it(name, () => {
      const [ascent, base, options, hyper] = ours[name]!;
      const trainer = new Trainer(
        findSource(twoLayers(), { loss: { kind: "mse" } }),
        compose(ascent, base, options),
        hyper,
      );
      for (let t = 0; t < 10; t++) {
        const z = trainer.weights().map((x, i) => x.map((_, j) => (Math.cos(7 * j + 2 * i + 3 * t) > 0 ? 1 : -1)));
        trainer.run(t, {
          x: wave([4, 3], (i) => Math.sin(1.3 * i + t)),
          labels: wave([4, 2], (i) => Math.cos(0.7 * i - t)),
          ...trainer.named("base_z/", z),
        });
        const want = kept[String(t + 1)];
        trainer.weights().forEach((x, k) => {
          const there = want?.[k];
          if (there) x.forEach((v, i) => expect(Math.abs(v - there[i]!), `step ${t + 1}`).to.be.below(1e-6));
        });
      }
    });
  }

  it("covers every fixture", () => expect(Object.keys(ours)).to.have.members(Object.keys(cases)));
});
