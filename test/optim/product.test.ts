import { expect } from "chai";
import { findSource } from "../../src/frontend/source.js";
import { compose, type Optimizer } from "../../src/optim/compose.js";
import { must } from "../../src/util/assert.js";
import { array, type Array64 } from "../reference/array.js";
import { batchNormNet } from "../support/batch_norms.js";
import { workingCells, type Cell } from "../support/cells.js";
import { follow, type Net } from "../support/follow.js";
import { oneElementNet, quadratic, tinyEncoder } from "../support/nets.js";
import { Trainer } from "../support/trainer.js";
import { twoLayers } from "../support/two_layers.js";
import { wave } from "../support/waves.js";

const whole = (dims: number[], below: number, t: number): Array64 =>
  array(
    "int64",
    dims,
    Array.from({ length: dims.reduce((n, d) => n * d, 1) }, (_, i) => (i * i + 2 * i + t) % below),
  );

const nets: Record<string, Net> = {
  "a quadratic": {
    source: findSource(quadratic(), { loss: { kind: "output", output: "loss" } }),
    batch: (t) => ({ x: wave([2, 3], (i) => Math.sin(1.3 * i + t)) }),
  },
  "an MLP": {
    source: findSource(twoLayers(), { loss: { kind: "mse" } }),
    batch: (t) => ({
      x: wave([4, 3], (i) => Math.sin(1.3 * i + t)),
      labels: wave([4, 2], (i) => Math.cos(0.7 * i - t)),
    }),
  },
  "a conv net with batch norm": {
    source: findSource(batchNormNet(), { loss: { kind: "cross-entropy" } }),
    batch: (t) => ({ x: wave([4, 2, 4, 4], (i) => Math.sin(0.9 * i * i + t)), labels: whole([4], 3, t) }),
  },
  "an MLP of which a bias and a matrix are frozen": {
    source: findSource(twoLayers(), {
      loss: { kind: "mse" },
      freeze: (name) => name === "first.weight" || name === "second.bias",
    }),
    batch: (t) => ({
      x: wave([4, 3], (i) => Math.sin(1.3 * i + t)),
      labels: wave([4, 2], (i) => Math.cos(0.7 * i - t)),
    }),
  },
  "tensors of one element, and one that the loss does not reach": {
    source: findSource(oneElementNet(), { loss: { kind: "mse", logits: "y" } }),
    batch: (t) => ({ x: wave([4, 1], (i) => Math.sin(1.3 * i + t)), labels: wave([4], (i) => Math.cos(0.7 * i - t)) }),
  },
  "a tiny encoder": {
    source: findSource(tinyEncoder(), { loss: { kind: "cross-entropy" } }),
    batch: (t) => ({ ids: whole([3, 3], 6, t), labels: whole([3], 3, t) }),
  },
};

const hyper = {
  ...{ lr: 0.05, rho: 0.05, eta: 0.01, beta: 0.8, delta: 0.2, alpha: 0.3 },
  ...{ beta1: 0.8, beta2: 0.9, eps: 0.05, weight_decay: 0.1, momentum: 0.7, dampening: 0 },
  ...{ shampoo_decay: 1, shampoo_eps: 1e-6, shampoo_ridge: 1e-4, kfac_damping: 0.1, kfac_decay: 0.7 },
  ...{ rho_min: 0.01, lr_max: 0.08, lr_min: 0.01 },
};
const baseOptions: Record<string, Record<string, unknown>> = {
  sgd: { momentum: hyper.momentum },
  sassha: { frequency: 3 },
  shampoo: { block: 4, statistics: 1, roots: 2, start: 1, momentum: hyper.momentum },
  kfac: { fisher: "empirical", factors: 2, inverses: 3 },
};
const optimizerOf = ({ ascent, combine, base }: Cell): Optimizer =>
  compose(ascent, base, {
    combine,
    ascent: ascent === "curvsam" ? { frequency: 4 } : {},
    combineOptions: combine === "looksam" ? { period: 3 } : {},
    base: baseOptions[base] ?? {},
  });
const titleOf = ({ ascent, combine, base }: Cell): string => `${ascent}, ${combine}, ${base}`;

describe("every combination of ascent, combine rule and base, 10 steps in float64 as its parts' references", () => {
  for (const cell of workingCells) {
    for (const [title, net] of Object.entries(nets)) {
      it(`${titleOf(cell)} on ${title}`, () => follow(net, optimizerOf(cell), hyper));
    }
  }
});

it("running statistics that are frozen stay where they are, whatever the combination", () => {
  const source = findSource(batchNormNet(), { loss: { kind: "cross-entropy" }, batchNormStatistics: "freeze" });
  const batch = must(nets["a conv net with batch norm"], "the net").batch(0);
  for (const cell of workingCells) {
    const trainer = new Trainer(source, optimizerOf(cell), hyper);
    const before = { ...trainer.feeds };
    const signs = trainer.weights().map((x) => x.map((_, i) => (i % 2 === 0 ? 1 : -1)));
    trainer.run(0, { ...batch, ...trainer.named("z/", signs), ...trainer.named("base_z/", signs) });
    expect(trainer.feeds["conv.weight"]?.data, titleOf(cell)).to.not.deep.equal(before["conv.weight"]?.data);
    for (const { name } of source.buffers) {
      expect(trainer.feeds[name]?.data, `${titleOf(cell)}: ${name}`).to.deep.equal(before[name]?.data);
    }
  }
});
