import { z } from "zod";
import {
  asMatrix,
  fromMatrix,
  inputFactor,
  inputFactorShape,
  outputFactor,
  outputFactorShape,
  precondition,
  tapped,
} from "../../curvature/kronecker.js";
import type { Layer } from "../../curvature/layers.js";
import type { Measure, MeasureContext } from "../../curvature/measure.js";
import type { Value } from "../../ir/graph.js";
import * as e from "../../ops/emit.js";
import type { RuleBuilder } from "../../ops/rule.js";
import { must, UserError } from "../../util/assert.js";
import { allFinite, at, ema, isFinite, mapParams } from "../arithmetic.js";
import { computedIn, diagonal, inverseRoot, shifted } from "../linalg.js";
import type { Base, Params, ParameterInfo, State, StateLayout, StepContext } from "../part.js";
import { momentFields } from "../moments.js";
import { hyper, hyperOf, ranges } from "../schema.js";
import { adamw } from "./adamw.js";
import { momentumFields, sgd } from "./sgd.js";

const options = z.object({
  fisher: z
    .enum(["sampled", "empirical"])
    .default("sampled")
    .describe("labels of the Fisher: the model's own, or the true ones"),
  factors: z.int().positive().default(10).describe("steps between measurements of the factors"),
  inverses: z.int().positive().default(100).describe("steps between inversions of the factors"),
  start: z.int().positive().default(1).describe("the step before which they are first inverted"),
  limit: z.int().positive().default(4096).describe("largest side of a factor; greater layers go with the others"),
  others: z.enum(["sgd", "adamw"]).default("sgd").describe("base of the parameters that are in no layer"),
  precision: z.enum(["float64", "float32"]).default("float64").describe("dtype of the iteration for the inverses"),
  nesterov: z.boolean().default(false).describe("look ahead along the momentum (needs momentum)"),
  lr: hyper(0.01, "learning rate η", ranges.rate),
  weight_decay: hyper(0, "decoupled weight decay λ", ranges.decay),
  ...momentumFields,
  kfac_damping: hyper(0.03, "damping γ of the Fisher", ranges.stabilizer),
  kfac_decay: hyper(0.95, "weight β of the past in the factors", ranges.average),
  ...momentFields,
  others_lr: hyper(0.001, "learning rate of AdamW, where that moves the others", ranges.rate),
});
type Options = z.output<typeof options>;

/** What the bases that take the steps read of the options. */
const sgdOptions = (o: Options) => ({ ...o, decoupled: true });
const adamOptions = (o: Options) => ({ ...o, amsgrad: false });

/** The layer that the parameter belongs to, unless its factors are too large. */
function layerOf({ layer }: ParameterInfo, { limit }: Options): Layer | null {
  if (!layer) return null;
  const sides = [layer.kind === "embedding" ? 1 : layer.inputs + (layer.bias === null ? 0 : 1), layer.outputs];
  return Math.max(...sides) <= limit ? layer : null;
}

/** Factors and their inverses, kept under the names of the weights. */
const ofWeight =
  (shape: (l: Layer) => readonly number[], o: Options) =>
  (p: ParameterInfo): readonly number[] | null => {
    const layer = layerOf(p, o);
    return layer?.weight === p.name ? shape(layer) : null;
  };

const layersOf = (parameters: ReadonlyMap<string, ParameterInfo>, o: Options): Layer[] =>
  [...parameters.values()].flatMap((p) => {
    const layer = layerOf(p, o);
    return layer?.weight === p.name ? [layer] : [];
  });

const kind = (s: State, name: string): Params => must(s.tensors.get(name), name);

/** The kinds of a layout, for those parameters that `has` holds of. */
const restricted = (layout: StateLayout, has: (p: ParameterInfo) => boolean): StateLayout => ({
  tensors: layout.tensors.map((t) => ({ ...t, shape: (p) => (has(p) ? p.shape : null) })),
  scalars: layout.scalars,
});

const measure = (o: Options): Measure => ({
  graph: "factors",
  probes: [],
  ...(o.fisher === "sampled" && { noise: "labels" as const }),
  gives: [
    { kind: "input_factor", shape: ofWeight(inputFactorShape, o) },
    { kind: "output_factor", shape: ofWeight(outputFactorShape, o) },
  ],
  emit: (c) => {
    const layers = layersOf(c.parameters, o);
    const copy = (v: Value): Value => must(c.at.valueOf(v), `the value "${v.name}"`);
    const { from, seed } = fisherSeed(c, o);
    const cotangents = tapped(
      c.b,
      from,
      seed,
      layers.map((l) => copy(l.output)),
    );
    const byWeight = (emit: (layer: Layer, i: number) => Value): Params =>
      new Map(layers.map((l, i) => [l.weight, emit(l, i)]));
    return new Map([
      ["input_factor", byWeight((l) => inputFactor(c.b, l, copy(l.input)))],
      ["output_factor", byWeight((l, i) => outputFactor(c.b, l, must(cotangents[i], l.weight), c.at.weight))],
    ]);
  },
});

/** Where the back-propagation for S starts, and with what. */
function fisherSeed(c: MeasureContext, { fisher }: Options): { from: Value; seed: Value } {
  const point = c.at;
  if (fisher === "empirical") return { from: point.loss, seed: e.scalarLike(c.b, 1, point.loss) };
  if (!point.logits) {
    throw new UserError(
      'kfac: the model computes its own loss, so no labels can be drawn; set the option fisher to "empirical"',
    );
  }
  return { from: point.logits, seed: point.randomScore("labels", c.noise("labels")) };
}

/** The mean of the diagonal, `[]`. */
function meanDiagonal(b: RuleBuilder, factor: Value): Value {
  const size = factor.dims[0];
  const zero = e.scalarLike(b, 0, factor);
  const kept = factor.dims.length === 2 ? e.where(b, diagonal(b, factor), factor, zero) : factor;
  return e.div(b, e.sumAll(b, kept), b.scalar(Number(size)));
}

/** The eigenvalues below this share of the largest are not told apart, by what each dtype can do. */
const floors = { float64: 1e-10, float32: 1e-4 } as const;

/** (F + by · I)⁻¹; an entry of an embedding that never came gets 0 where nothing is added. */
function inverse(b: RuleBuilder, o: Options, factor: Value, by: Value): Value {
  if (factor.dims.length === 3) {
    const sum = e.add(b, factor, by);
    return e.where(b, e.isPositive(b, sum), e.reciprocal(b, sum), e.scalarLike(b, 0, sum));
  }
  const ridge = o.precision === "float32" ? { ridge: b.scalar(floors.float32) } : {};
  return computedIn(b, o.precision, factor, (f) =>
    inverseRoot(b, shifted(b, f, e.cast(b, by, f.dtype)), 1, { floor: floors[o.precision], ...ridge }),
  );
}

/**
 * K-FAC. For every layer with weight W as a matrix [inputs, outputs], its bias as one more row:
 *
 *   A ← β A + (1 − β) E[ā āᵀ],  S ← β S + (1 − β) E[s sᵀ]   every `factors` steps, both over c = 1 − βⁿ
 *   A⁻¹ = (A + π√γ I)⁻¹,  S⁻¹ = (S + √γ/π I)⁻¹,  π = √((tr A/dim A)/(tr S/dim S))   every `inverses` steps
 *   w ← (1 − η λ) w − η A⁻¹ ∇W S⁻¹,   through SGD's momentum where that is on
 *
 * Martens & Grosse 2015, Optimizing Neural Networks with Kronecker-factored Approximate Curvature, section 6.3 for π;
 * convolutions: Grosse & Martens 2016; tokens as examples: Eschenhagen et al. 2023 (expand). No rescaling of the step.
 * Parameters in no layer (norms, tied weights, kernels in groups, tables that broadcast over the batch) move by `others`.
 * Ours: inverses at step t are those of the factors before it, since they are computed without a batch; until the first
 * ones they are I. Decay is decoupled.
 */
export const kfac: Base<typeof options> = {
  name: "kfac",
  summary: "natural gradient with a Kronecker-factored Fisher of each layer",
  reference: "Martens & Grosse 2015, Optimizing Neural Networks with Kronecker-factored Approximate Curvature",
  options,
  check: (o) => sgd.check?.(sgdOptions(o)) ?? null,
  hyper: (o) =>
    hyperOf(options, o, [
      ...(["lr", "weight_decay"] as const),
      ...(o.momentum > 0 ? (["momentum", "dampening"] as const) : []),
      ...(["kfac_damping", "kfac_decay"] as const),
      ...(o.others === "adamw" ? (["others_lr", "beta1", "beta2", "eps"] as const) : []),
    ]),
  state: (o) => {
    const inLayer = (p: ParameterInfo): boolean => layerOf(p, o) !== null;
    const [own, others] =
      o.others === "adamw"
        ? [restricted(sgd.state(sgdOptions(o)), inLayer), restricted(adamw.state(adamOptions(o)), (p) => !inLayer(p))]
        : [sgd.state(sgdOptions(o)), { tensors: [], scalars: [] }];
    const [a, s] = [ofWeight(inputFactorShape, o), ofWeight(outputFactorShape, o)];
    return {
      tensors: [
        { kind: "kfac_a", fill: 0, shape: a },
        { kind: "kfac_s", fill: 0, shape: s },
        { kind: "kfac_inverse_a", fill: 1, identity: true, shape: a },
        { kind: "kfac_inverse_s", fill: 1, identity: true, shape: s },
        ...own.tensors,
        ...others.tensors,
      ],
      scalars: [{ name: "kfac_c", fill: 0 }, ...own.scalars, ...others.scalars],
    };
  },
  // Drawn labels are propagated back to activations, not to weights; the true ones have been.
  gradients: (o) => (o.fisher === "sampled" ? 1 / 3 / o.factors : 0),
  curvature: (o) => ({
    estimator: `kfac-${o.fisher}`,
    frequency: o.factors,
    measure: measure(o),
    refresh: ({ b, hyper: value }, _, m, s) => {
      const beta = value("kfac_decay");
      const [a, out] = [m.value("input_factor"), m.value("output_factor")];
      const usable = e.and(b, allFinite(b, a), allFinite(b, out));
      const averaged = (name: string, fresh: Params): Params =>
        mapParams(kind(s, name), (old, weight) => e.where(b, usable, ema(b, beta, old, at(fresh, weight)), old));
      const c = must(s.scalars.get("kfac_c"), "kfac_c");
      return {
        next: {
          tensors: new Map([
            ["kfac_a", averaged("kfac_a", a)],
            ["kfac_s", averaged("kfac_s", out)],
          ]),
          scalars: new Map([["kfac_c", e.where(b, usable, ema(b, beta, c, e.scalarLike(b, 1, c)), c)]]),
        },
        diagnostics: new Map(),
      };
    },
  }),
  refreshes: (o) => [
    {
      name: "kfac_inverses",
      every: () => o.inverses,
      offset: () => o.start,
      emit: ({ b, hyper: value }, _, s) => {
        const c = must(s.scalars.get("kfac_c"), "kfac_c");
        const root = e.sqrt(b, value("kfac_damping"));
        const renewed = { a: new Map<string, Value>(), s: new Map<string, Value>() };
        for (const [weight, sum] of kind(s, "kfac_a")) {
          const [a, out] = [e.div(b, sum, c), e.div(b, at(kind(s, "kfac_s"), weight), c)];
          const ratio = e.sqrt(b, e.div(b, meanDiagonal(b, a), meanDiagonal(b, out)));
          const one = e.scalarLike(b, 1, ratio);
          const usable = e.and(b, e.isPositive(b, ratio), isFinite(b, ratio));
          const pi = e.where(b, usable, ratio, one);
          const fresh = { a: inverse(b, o, a, e.mul(b, pi, root)), s: inverse(b, o, out, e.div(b, root, pi)) };
          const finite = allFinite(b, new Map(Object.entries(fresh)));
          const keep = (next: Value, name: string): Value => e.where(b, finite, next, at(kind(s, name), weight));
          renewed.a.set(weight, keep(fresh.a, "kfac_inverse_a"));
          renewed.s.set(weight, keep(fresh.s, "kfac_inverse_s"));
        }
        return {
          tensors: new Map([
            ["kfac_inverse_a", renewed.a],
            ["kfac_inverse_s", renewed.s],
          ]),
          scalars: new Map(),
        };
      },
    },
  ],
  descend: (c, o, w, g, s) => {
    const direction = new Map(g);
    const layered = new Set<string>();
    for (const layer of layersOf(c.parameters, o)) {
      const { weight, bias } = layer;
      const matrix = asMatrix(c.b, layer, at(g, weight), bias === null ? null : at(g, bias));
      const [a, out] = [at(kind(s, "kfac_inverse_a"), weight), at(kind(s, "kfac_inverse_s"), weight)];
      const natural = fromMatrix(c.b, layer, precondition(c.b, layer, matrix, a, out), at(w, weight));
      direction.set(weight, natural.weight);
      layered.add(weight);
      if (bias === null) continue;
      direction.set(bias, must(natural.bias, bias));
      layered.add(bias);
    }
    if (o.others === "sgd") return sgd.descend(c, sgdOptions(o), w, direction, s);
    const part = (all: Params, inside: boolean): Params =>
      new Map([...all].filter(([name]) => layered.has(name) === inside));
    const own = sgd.descend(c, sgdOptions(o), part(w, true), part(direction, true), s);
    const others = adamw.descend(withOwnRate(c), adamOptions(o), part(w, false), part(g, false), s);
    const moved = new Map([...own.next, ...others.next]);
    return {
      next: mapParams(w, (_, name) => at(moved, name)),
      state: {
        tensors: new Map([...own.state.tensors, ...others.state.tensors]),
        scalars: new Map([...own.state.scalars, ...others.state.scalars]),
      },
    };
  },
};

/** The context with `others_lr` as the learning rate. */
const withOwnRate = (c: StepContext): StepContext => ({
  b: c.b,
  parameters: c.parameters,
  hyper: (name, parameter) => c.hyper(name === "lr" ? "others_lr" : name, parameter),
  get step() {
    return c.step;
  },
});
