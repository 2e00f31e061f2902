import { expect } from "chai";
import { Matrix } from "ml-matrix";
import { spatialAxes } from "../../src/optim/base/adahessian.js";
import { compose } from "../../src/optim/compose.js";
import { findSource } from "../../src/frontend/source.js";
import type { Source } from "../../src/frontend/objective.js";
import { parameterInfos } from "../../src/pack/ports.js";
import { must } from "../../src/util/assert.js";
import { array, type Array64 } from "../reference/array.js";
import {
  Composition,
  LayeredKfac,
  type AnyBase,
  type AscentName,
  type CombineName,
  type CompositionOptions,
} from "../reference/composition.js";
import { AdaHessian, AdamW, Sassha, Sgd, type Blocks, type Vectors } from "../reference/optimizers.js";
import { Shampoo } from "../reference/shampoo.js";
import { batchNormNet } from "../support/batch_norms.js";
import { workingCells } from "../support/cells.js";
import { oneElementNet, quadratic, tinyEncoder } from "../support/nets.js";
import { Trainer, type Feeds } from "../support/trainer.js";
import { twoLayers } from "../support/two_layers.js";

const wave = (dims: number[], f: (i: number) => number): Array64 =>
  array(
    "float32",
    dims,
    Array.from({ length: dims.reduce((n, d) => n * d, 1) }, (_, i) => f(i)),
  );
const whole = (dims: number[], below: number, t: number): Array64 =>
  array(
    "int64",
    dims,
    Array.from({ length: dims.reduce((n, d) => n * d, 1) }, (_, i) => (i * i + 2 * i + t) % below),
  );

interface Net {
  source: Source;
  batch: (t: number) => Feeds;
}

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
  ...{ beta1: 0.8, beta2: 0.9, eps: 0.05, weight_decay: 0.1, momentum: 0.7 },
  ...{ shampoo_eps: 1e-6, shampoo_ridge: 1e-4, kfac_damping: 0.1, kfac_decay: 0.7 },
  ...{ rho_min: 0.01, lr_max: 0.08, lr_min: 0.01 },
};
const frequencies: Record<string, number> = { adahessian: 1, sassha: 3, shampoo: 1, kfac: 2 };
const structure: Record<string, Record<string, unknown>> = {
  sassha: { frequency: 3 },
  shampoo: { block: 4, statistics: 1, roots: 2, start: 1 },
  kfac: { fisher: "empirical", factors: 2, inverses: 3, momentum: 0, weight_decay: 0 },
};
const period = 3;

/** The float64 reference of a base, at the hyper-parameters above. */
function referenceBase(name: string, source: Source, names: readonly string[], measuredEvery: number): AnyBase {
  const { lr, beta1, beta2, eps: epsilon, weight_decay: weightDecay, momentum } = hyper;
  const infos = parameterInfos(source);
  const adaptive = { lr, beta1, beta2, epsilon, weightDecay };
  switch (name) {
    case "sgd":
      return { kind: "plain", base: new Sgd({ lr, momentum, weightDecay }) };
    case "adamw":
      return { kind: "plain", base: new AdamW(adaptive) };
    case "adahessian": {
      const blocks: Blocks = names.map((n) => {
        const info = must(infos.get(n), n);
        return (x) => averaged(x, info.shape, spatialAxes(info));
      });
      return { kind: "diagonal", base: new AdaHessian(adaptive, blocks) };
    }
    case "sassha":
      return { kind: "diagonal", base: new Sassha(adaptive) };
    case "shampoo": {
      const shapes = names.map((n) => must(infos.get(n), n).shape);
      const options = {
        ...{ lr, momentum, weightDecay, block: 4, grafting: "sgd" as const, epsilon: 1e-6 },
        ridge: 1e-4,
      };
      return {
        kind: "shampoo",
        base: new Shampoo({ ...options, statistics: measuredEvery, roots: 2, start: 1 }, shapes),
      };
    }
    case "kfac": {
      const layers = [...infos.values()].flatMap(({ name: n, layer }) => (layer?.weight === n ? [layer] : []));
      const options = { lr, damping: hyper.kfac_damping, decay: hyper.kfac_decay, inverses: 3 };
      return { kind: "kfac", base: new LayeredKfac(options, layers, names) };
    }
    default:
      throw new Error(`no reference for ${name}`);
  }
}

/** Every element replaced by the mean over `axes`. */
function averaged(x: Float64Array, shape: readonly number[], axes: readonly number[]): Float64Array {
  const sums = new Map<string, { sum: number; count: number }>();
  const key = (i: number): string => {
    let rest = i;
    const at = [...shape].reverse().map((d) => {
      const here = rest % d;
      rest = (rest - here) / d;
      return here;
    });
    return at
      .reverse()
      .map((v, axis) => (axes.includes(axis) ? "*" : v))
      .join();
  };
  x.forEach((v, i) => {
    const s = sums.get(key(i)) ?? { sum: 0, count: 0 };
    sums.set(key(i), { sum: s.sum + v, count: s.count + 1 });
  });
  return x.map((_, i) => {
    const { sum, count } = sums.get(key(i))!;
    return sum / count;
  });
}

const asMatrix = ({ dims, data }: Array64): Matrix => {
  const [n = 1, m = 1] = dims;
  if (dims.length === 3) return Matrix.diag([...data]);
  return new Matrix(Array.from({ length: n }, (_, i) => [...data.subarray(i * m, (i + 1) * m)]));
};

function check(net: Net, ascent: AscentName, combine: CombineName, base: string): void {
  const { source, batch } = net;
  const k = combine === "looksam" ? period : 1;
  const optimizer = compose(ascent, base, {
    combine,
    ascent: ascent === "curvsam" ? { frequency: 4 } : {},
    combineOptions: combine === "looksam" ? { period } : {},
    base: { ...(base === "sgd" || base === "shampoo" ? { momentum: hyper.momentum } : {}), ...structure[base] },
  });
  const values = base === "kfac" ? { ...hyper, weight_decay: 0 } : hyper;
  const trainer = new Trainer(source, optimizer, values);
  const measuredEvery = k * Math.ceil((frequencies[base] ?? 1) / k);
  const infos = parameterInfos(source);
  const options: CompositionOptions = {
    ...{ ascent, combine, rho: hyper.rho, eta: hyper.eta, beta: hyper.beta, delta: hyper.delta, frequency: 4 },
    ...{ rhoMin: hyper.rho_min, lrMax: hyper.lr_max, lrMin: hyper.lr_min, lr: hyper.lr, alpha: hyper.alpha, period },
    adapted: trainer.names.map((n) => n.includes("weight") || must(infos.get(n), n).shape.length >= 2),
    baseFrequency: measuredEvery,
  };
  const reference = new Composition(options, referenceBase(base, source, trainer.names, measuredEvery));
  const layers = [...infos.values()].filter(({ name, layer }) => layer?.weight === name).map(({ name }) => name);
  const kfac = base === "kfac" ? compose("none", "kfac", { base: { fisher: "empirical" } }) : null;
  let w: Vectors = trainer.weights();
  for (let t = 0; t < 10; t++) {
    const feeds = batch(t);
    const probe = w.map((x, i) => x.map((_, j) => 1.5 * Math.sin(5 * j + 3 * i + t)));
    const baseProbe = w.map((x, i) => x.map((_, j) => (Math.cos(7 * j + 2 * i + 3 * t) > 0 ? 1 : -1)));
    w = reference.step(w, {
      ...{ probe, baseProbe },
      gradient: (at) => trainer.gradient(at, feeds),
      hvp: (at, z) => trainer.hvp(at, z, feeds),
      factors: (at) => {
        const out = trainer.measure(must(kfac, "K-FAC"), "base", at, feeds);
        return layers.map((name) => ({
          a: asMatrix(must(out[`base_input_factor/${name}`], name)),
          s: asMatrix(must(out[`base_output_factor/${name}`], name)),
        }));
      },
    });
    trainer.run(t, { ...feeds, ...trainer.named("z/", probe), ...trainer.named("base_z/", baseProbe) });
    const got = trainer.weights();
    got.forEach((x, i) => {
      const name = trainer.names[i] ?? "";
      x.forEach((v, j) => {
        const want = w[i]?.[j] ?? NaN;
        if (!(Math.abs(v - want) <= 1e-7)) expect.fail(`step ${t + 1}, ${name}[${j}]: ${v}, ${want} expected`);
      });
    });
  }
  expect(trainer.feeds["state/step"]?.data[0]).to.equal(10);
}

describe("every combination of ascent, combine rule and base, 10 steps in float64 as its parts' references", () => {
  for (const { ascent, combine, base } of workingCells) {
    for (const [title, net] of Object.entries(nets)) {
      it(`${ascent}, ${combine}, ${base} on ${title}`, () =>
        check(net, ascent as AscentName, combine as CombineName, base));
    }
  }
});
