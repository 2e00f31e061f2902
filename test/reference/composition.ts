import type { ParameterInfo } from "../../src/curvature/parameter.js";
import type { Layer } from "../../src/curvature/layers.js";
import type { Optimizer } from "../../src/optim/compose.js";
import { asamPerturbation, Ellipsoid, samPerturbation, type CurvatureOptions, type Groups } from "./ascents.js";
import { estimate, secantEstimate, type Loss } from "./estimators.js";
import { LayeredKfac, type Factors } from "./layered_kfac.js";
import {
  AdaHessian,
  AdamW,
  gsamDescent,
  gsamRadius,
  lookDescent,
  lookKept,
  Sassha,
  Sgd,
  zip,
  type Base,
  type Vectors,
} from "./optimizers.js";
import { Shampoo } from "./shampoo.js";

/** What a step is computed from. */
export interface Oracle extends Loss {
  /** The same of the first ⌈share · rows⌉ rows. */
  first(share: number): Loss;
  /** Probes of the ascent, and that of the base. */
  probes: readonly Vectors[];
  baseProbe: Vectors;
  /** K-FAC's factors at w, by layer. */
  factors(w: Vectors): readonly Factors[];
}

type Values = Readonly<Record<string, number>>;

/** A base that can be measured at the point of the descent gradient. */
type AnyBase =
  | { kind: "plain"; base: Base }
  | { kind: "diagonal"; base: AdaHessian | Sassha }
  | { kind: "shampoo"; base: Shampoo }
  | { kind: "kfac"; base: LayeredKfac };

/** Layers whose factors have no side above the limit. */
export const layersWithin = (infos: readonly ParameterInfo[], limit: number): Layer[] =>
  infos.flatMap(({ name, layer }) => {
    if (layer?.weight !== name) return [];
    const inputs = layer.kind === "embedding" ? 1 : layer.inputs + (layer.bias === null ? 0 : 1);
    return Math.max(inputs, layer.outputs) <= limit ? [layer] : [];
  });

/**
 * An optimizer put together from the references of its parts, under the options that it has and the hyper-parameters `v`;
 * refreshes fall on steps with a second gradient.
 */
export class Composition {
  /** ε of the last step, null where it had one gradient. */
  perturbation: Vectors | null = null;
  private ellipsoid: Ellipsoid | null = null;
  private kept: Vectors = [];
  private t = 0;
  private readonly base: AnyBase;
  private readonly groups: readonly string[];
  constructor(
    private readonly o: Optimizer,
    private readonly v: Values,
    private readonly infos: readonly ParameterInfo[],
  ) {
    this.groups = infos.map((p) => p.group);
    this.base = baseOf(o, v, infos, this.every(o.curvature.base?.frequency));
  }

  step(w: Vectors, oracle: Oracle): Vectors {
    const { t, o } = this;
    const { alpha = NaN } = this.v;
    const rule = o.combine.name;
    const g = oracle.gradient(w);
    let point = w;
    let at = g;
    let descent = g;
    this.perturbation = null;
    if (o.ascent.name !== "none" && t % o.period === 0) {
      const e = this.perturb(w, g, oracle);
      this.perturbation = e;
      point = zip((x, y) => x + y, w, e);
      at = oracle.gradient(point);
      if (o.curvature.ascent?.after) {
        this.ellipsoid = this.ellipsoid!.refreshed(secantEstimate(o.curvature.ascent.estimator, g, at, e));
      }
      descent = rule === "gsam" ? gsamDescent(g, at, alpha) : at;
      if (rule === "looksam") this.kept = this.byScope(lookKept, g, at);
    } else if (o.ascent.name !== "none") {
      descent = this.byScope((x, y) => lookDescent(x, y, alpha), g, this.kept);
    }
    this.t++;
    const { base } = this;
    const due = t % this.every(o.curvature.base?.frequency) === 0;
    switch (base.kind) {
      case "plain":
        return base.base.step(w, descent);
      case "diagonal":
        if (due) base.base.measure(oracle.baseProbe, oracle.hvp(point, oracle.baseProbe));
        return base.base.step(w, descent);
      case "shampoo":
        return base.base.step(w, descent, at);
      case "kfac":
        return base.base.step(w, descent, due ? oracle.factors(point) : null);
    }
  }

  /** A period, rounded up to a multiple of LookSAM's. */
  private every(frequency = 1): number {
    return this.o.period * Math.ceil(frequency / this.o.period);
  }

  /** f of all tensors, or tensor by tensor. */
  private byScope(f: (x: Vectors, y: Vectors) => Vectors, x: Vectors, y: Vectors): Vectors {
    if (this.o.combineOptions["scope"] !== "tensor") return f(x, y);
    return x.map((t, k) => f([t], [y[k]!])[0]!);
  }

  private perturb(w: Vectors, g: Vectors, oracle: Oracle): Vectors {
    const { o, v, infos } = this;
    const options = o.ascentOptions;
    const [lr, lrMax, lrMin, rhoMin] = ["lr", "lr_max", "lr_min", "rho_min"].map((name) => v[name] ?? NaN) as [
      ...[number, number, number, number],
    ];
    const own = v["rho"] ?? NaN;
    const rho = o.combine.name === "gsam" ? gsamRadius({ rho: own, rhoMin, lr, lrMax, lrMin }) : own;
    const groups: Groups = options["scope"] === "group" ? this.groups : null;
    if (o.ascent.name === "sam") return samPerturbation(g, rho, groups);
    if (o.ascent.name === "asam") {
      const adapted = infos.map((p) => options["adapt"] === "all" || p.name.includes("weight") || p.shape.length >= 2);
      return asamPerturbation(w, g, { rho, eta: v["eta"] ?? NaN, adapted, groups });
    }
    const { frequency, estimator, after } = o.curvature.ascent!;
    const { beta = NaN, delta = NaN } = v;
    const settled = { ...(options as Partial<CurvatureOptions>), rho, delta };
    this.ellipsoid ??= Ellipsoid.start(w, { ...settled, beta: after ? beta ** (1 / frequency) : beta }, this.groups);
    if (!after && this.t % this.every(frequency) === 0) {
      const loss = oracle.first(estimator === "empirical" ? 1 : (options["share"] as number));
      this.ellipsoid = this.ellipsoid.refreshed(estimate(estimator, loss, w, oracle.probes));
    }
    return this.ellipsoid.perturbation(g);
  }
}

/** The reference of a base; statistics are taken every `measured` steps. */
function baseOf(
  { base, baseOptions: o }: Optimizer,
  v: Values,
  infos: readonly ParameterInfo[],
  measured: number,
): AnyBase {
  const value = (name: string): number => v[name] ?? NaN;
  const adam = {
    ...{ lr: value("lr"), beta1: value("beta1"), beta2: value("beta2") },
    ...{ epsilon: value("eps"), weightDecay: value("weight_decay") },
  };
  const momentum = o["momentum"] === 0 ? 0 : value("momentum");
  const sgd = {
    ...{ lr: value("lr"), momentum, dampening: value("dampening"), weightDecay: value("weight_decay") },
    nesterov: o["nesterov"] === true,
  };
  // Float32 wants a ridge of 1e-4, in whatever the graphs are computed.
  const leastRidge = o["precision"] === "float32" ? 1e-4 : 0;
  switch (base.name) {
    case "sgd":
      return { kind: "plain", base: new Sgd({ ...sgd, decoupled: o["decoupled"] === true }) };
    case "adamw":
      return { kind: "plain", base: new AdamW({ ...adam, amsgrad: o["amsgrad"] === true }) };
    case "adahessian": {
      const blocks = infos.map((p) => (x: Float64Array) => averaged(x, p.shape, averagedAxes(p)));
      const own = { power: o["hessian_power"] as number, average: o["average"] as "signed" | "absolute" };
      return { kind: "diagonal", base: new AdaHessian({ ...adam, ...own }, o["spatial"] === true ? blocks : null) };
    }
    case "sassha":
      return { kind: "diagonal", base: new Sassha(adam) };
    case "shampoo": {
      const options = {
        ...sgd,
        ...{ block: o["block"] as number, grafting: o["grafting"] as "sgd" | "adam" | "none" },
        ...{ beta1: adam.beta1, beta2: adam.beta2, adamEpsilon: adam.epsilon, decay: value("shampoo_decay") },
        ...{ epsilon: value("shampoo_eps"), ridge: Math.max(value("shampoo_ridge"), leastRidge) },
        ...{ statistics: measured, roots: o["roots"] as number, start: (o["start"] ?? o["roots"]) as number },
      };
      return {
        kind: "shampoo",
        base: new Shampoo(
          options,
          infos.map((p) => p.shape),
        ),
      };
    }
    case "kfac": {
      const options = {
        ...{ sgd, damping: value("kfac_damping"), decay: value("kfac_decay"), ridge: leastRidge },
        ...{ inverses: o["inverses"] as number, start: o["start"] as number },
        others: o["others"] === "adamw" ? { ...adam, lr: value("others_lr") } : null,
      };
      const layers = layersWithin(infos, o["limit"] as number);
      return {
        kind: "kfac",
        base: new LayeredKfac(
          options,
          layers,
          infos.map((p) => p.name),
        ),
      };
    }
    default:
      throw new Error(`no reference for ${base.name}`);
  }
}

/** Yao et al. 2021, section 3.2: inputs of matrices, features of embeddings, kernels of convolutions. */
function averagedAxes({ role, shape }: ParameterInfo): number[] {
  if (role === null) return [];
  if (role === "conv") return [...shape.keys()].slice(2);
  return role === "matmul" ? [0] : [1];
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
