import { z } from "zod";
import { estimator, estimatorCost, estimatorNames } from "../../curvature/estimator.js";
import type { Value } from "../../ir/graph.js";
import * as e from "../../ops/emit.js";
import { at, isFinite, mapParams, oneMinus, sumOf, sumOver } from "../arithmetic.js";
import type { Ascent, Diagnostics, Params, ParameterInfo, State, StepContext } from "../part.js";
import { hyper, hyperOf, ranges } from "../schema.js";
import { sizeOf } from "../../util/shape.js";
import { must } from "../../util/assert.js";
import { perturbAlong, squaredLength, type Direction } from "./perturbation.js";

const options = z.object({
  estimator: z.enum(estimatorNames).default("hvp").describe("how the curvature is estimated"),
  frequency: z.int().positive().default(5).describe("steps between curvature refreshes (F)"),
  probe: z.enum(["normal", "rademacher"]).default("normal").describe("distribution of the probe z"),
  probes: z.int().positive().default(1).describe("probes in a refresh, averaged before the absolute value"),
  share: z
    .number()
    .gt(0)
    .max(1)
    .default(1)
    .describe(
      "fraction of the batch's rows that the curvature is measured on (hvp, finite-difference, gnb, gauss-newton)",
    ),
  initial: z
    .enum(["one", "zero"])
    .default("one")
    .describe("the curvature's start: 1, or 0 with the moving average's bias corrected"),
  radius: z
    .enum(["ellipsoid", "euclidean"])
    .default("ellipsoid")
    .describe("what ρ measures: the ellipsoid εᵀDε = ρ², or ‖ε‖₂ = ρ"),
  floor: z
    .enum(["absolute", "relative"])
    .default("absolute")
    .describe("whether δ is the floor of d, or a fraction of the root mean square of √h (then 0.05 is usual)"),
  granularity: z
    .enum(["element", "tensor", "group"])
    .default("element")
    .describe("one curvature an element, a tensor or a group"),
  scope: z.enum(["global", "group"]).default("global").describe("one norm over all parameters, or one a group"),
  keep_scale: z
    .boolean()
    .default(false)
    .describe("keep the curvature scale d from refresh to refresh: 4 bytes more a parameter, less work in between"),
  rho: hyper(0.05, "radius of the perturbation ellipsoid: εᵀDε = ρ²", ranges.radius),
  beta: hyper(0.9, "weight of the past in the moving average of the curvature", {
    min: 0,
    max: 1,
    reason: "it is the weight of the past in a moving average; 1 never changes it",
  }),
  delta: hyper(0.01, "floor of the curvature scale d = max(√h, δ)", {
    above: 0,
    reason: "without a floor, directions of no curvature would be perturbed without bound",
  }),
});
type Options = z.output<typeof options>;

const curvatureOf = (s: State): Params => must(s.tensors.get("curvature"), "the curvature state");

/** With one curvature a tensor or a group, it is kept as one scalar a tensor: the mean over its elements. */
const shapeOf = (o: Options) => (p: ParameterInfo) => (o.granularity === "element" ? p.shape : []);

/**
 * Algorithm 1 of the CurvSAM paper, element by element, with one norm over all parameters:
 *
 *   h ← β h + (1 − β) |z ⊙ Hz|   every F steps, z ~ N(0, I), h₀ = 1
 *   d = max(√h, δ)
 *   ε = ρ (g ⊘ d) / √(Σ g² ⊘ d),   so that εᵀ D ε = ρ²
 *
 * Shapes of h, z, d, ε: those of w. Options beyond the paper: other estimators of |diag H|; h₀ = 0 with ĥ = h/(1 − βⁿ) after n
 * refreshes (1 before the first); ε = ρ (g ⊘ d)/‖g ⊘ d‖₂; δ·rms(√ĥ) for δ; one h a tensor or a group, the mean over its elements.
 * Secants move h at every step, by β^(1/F). Ours: a zero or overflowing norm gives ε = 0; an estimate that is not finite keeps h.
 */
export const curvsam: Ascent<typeof options> = {
  name: "curvsam",
  summary: "SAM whose perturbation ellipsoid follows the local curvature",
  reference: "CurvSAM, Algorithm 1",
  options,
  hyper: (o) => hyperOf(options, o),
  state: (o) => ({
    tensors: [
      { kind: "curvature", fill: o.initial === "one" ? 1 : 0, shape: shapeOf(o) },
      ...(o.keep_scale ? [{ kind: "curvature_scale", fill: 1, shape: shapeOf(o) }] : []),
    ],
    scalars: o.initial === "zero" ? [{ name: "curvature_weight", fill: 0 }] : [],
  }),
  gradients: (o) => 1 + estimatorCost(o.estimator, o) / o.frequency,
  perturb: (c, o, w, g, s) => {
    const { b } = c;
    const d = s.tensors.get("curvature_scale") ?? scales(c, o, s).d;
    const factor = biasFactor(c, s);
    const directions = new Map<string, Direction>(
      [...g].map(([name, x]) => [name, { tensor: e.div(b, x, at(d, name)), ...(factor && { factor }) }]),
    );
    const squares = mapParams(g, (x, name) => {
      const direction = at(directions, name);
      if (o.radius === "euclidean") return squaredLength(c, direction);
      const inner = e.sumAll(b, e.mul(b, x, direction.tensor));
      return factor ? e.mul(b, factor, inner) : inner;
    });
    return perturbAlong(c, w, directions, squares, o.scope);
  },
  curvature: (o) => {
    const chosen = estimator(o.estimator, o);
    const { name, measure, after } = chosen;
    return {
      estimator: name,
      frequency: o.frequency,
      ...(measure && { measure }),
      ...(after && { after }),
      refresh: (c, _, m, s) => {
        const { b } = c;
        const { values, scale } = chosen.estimate(b, m);
        const found =
          o.granularity === "element"
            ? values
            : mapParams(values, (x, p) => e.scale(b, e.sumAll(b, x), 1 / sizeOf(at(c.parameters, p).shape)));
        const total = sumOver(b, found, (x) => e.sumAll(b, x));
        const usable = isFinite(b, scale ? e.mul(b, scale, total) : total);
        const average = c.hyper("beta");
        const beta = after ? e.pow(b, average, e.scalarLike(b, 1 / o.frequency, average)) : average;
        const rest = oneMinus(b, beta);
        // Scalars are multiplied first: every factor less is a pass less over all parameters.
        const renew = (old: Value, x: Value, share: Value): Value =>
          e.where(b, usable, e.add(b, e.mul(b, beta, old), e.mul(b, share, x)), old);
        const share = scale ? e.mul(b, rest, scale) : rest;
        const weight = s.scalars.get("curvature_weight");
        const moved: State = {
          tensors: new Map([["curvature", mapParams(curvatureOf(s), (h, p) => renew(h, at(found, p), share))]]),
          scalars: new Map(weight ? [["curvature_weight", renew(weight, e.scalarLike(b, 1, weight), rest)]] : []),
        };
        const scaled = scales(c, o, moved);
        const next = o.keep_scale
          ? { ...moved, tensors: new Map([...moved.tensors, ["curvature_scale", scaled.d] as const]) }
          : moved;
        return { next, diagnostics: after ? new Map() : shares(c, o, scaled) };
      },
    };
  },
};

/** The curvature scale of every parameter is d over `factor`, a scalar; 1 where there is none. */
interface Scales {
  /** Of its shape, or a scalar. */
  d: Params;
  factor: Value | null;
  /** √h in the units of d. */
  roots: Params;
}

/**
 * max(√ĥ, δ) of every parameter. With ĥ = h/c it is max(√h, δ√c)/√c: the correction of the bias is a matter of scalars. Before
 * the first refresh, where h = 0, it is max(1, δ).
 */
function scales(c: StepContext, o: Options, s: State): Scales {
  const { b } = c;
  const kept = curvatureOf(s);
  const h = o.granularity === "group" ? groupMeans(c, kept) : kept;
  const roots = mapParams(h, (x) => e.sqrt(b, x));
  const factor = biasFactor(c, s);
  const floor = floorOf(c, o, h, factor);
  const weight = s.scalars.get("curvature_weight");
  const d = mapParams(roots, (x, name) => {
    const least = floor(name);
    if (!weight) return e.max(b, x, least);
    const atFirst = e.max(b, least, e.scalarLike(b, 1, least));
    return e.max(b, x, e.where(b, e.isPositive(b, weight), least, atFirst));
  });
  return { d, factor, roots };
}

/** √c, c the weight that the moving average has gathered; 1 before the first refresh, null where the average starts at one. */
function biasFactor({ b }: StepContext, s: State): Value | null {
  const weight = s.scalars.get("curvature_weight");
  if (!weight) return null;
  return e.sqrt(b, e.where(b, e.isPositive(b, weight), weight, e.scalarLike(b, 1, weight)));
}

/** The least d of a parameter, in units of √h: δ√c, or δ·rms(√h). */
function floorOf(c: StepContext, o: Options, h: Params, factor: Value | null): (name: string) => Value {
  const { b } = c;
  if (o.floor === "absolute") {
    return (name) => (factor ? e.mul(b, factor, c.hyper("delta", name)) : c.hyper("delta", name));
  }
  // rms(√h) = √(mean of h). A floor of 0, where all of h is, would divide 0 by 0.
  const total = sumOver(b, h, (x, name) => weightedSum(c, o, x, name));
  const mean = e.scale(b, total, 1 / elements(c, h));
  const rms = e.max(b, e.sqrt(b, mean), e.scalarLike(b, 1e-30, mean));
  return (name) => e.mul(b, c.hyper("delta", name), rms);
}

function groupMeans(c: StepContext, h: Params): Params {
  const { b } = c;
  const means = new Map<string, Value>();
  for (const group of new Set([...c.parameters.values()].map((p) => p.group))) {
    const members = [...h].filter(([name]) => at(c.parameters, name).group === group);
    const size = members.reduce((n, [name]) => n + sizeOf(at(c.parameters, name).shape), 0);
    const sums = members.map(([name, x]) => e.scale(b, x, sizeOf(at(c.parameters, name).shape) / size));
    means.set(group, sumOf(b, sums));
  }
  return mapParams(h, (_, name) => at(means, at(c.parameters, name).group));
}

const elements = (c: StepContext, of: Params): number =>
  [...of.keys()].reduce((n, name) => n + sizeOf(at(c.parameters, name).shape), 0);

/** Σ of x over the elements of the parameter that it stands for. */
const weightedSum = ({ b, parameters }: StepContext, o: Options, x: Value, name: string): Value =>
  o.granularity === "element" ? e.sumAll(b, x) : e.scale(b, x, sizeOf(at(parameters, name).shape));

/** The share of elements whose d is at the floor (within rounding of it), and d̄ = mean of 1/d. */
function shares(c: StepContext, o: Options, { d, factor, roots }: Scales): Diagnostics {
  const { b } = c;
  const count = elements(c, d);
  const floored = sumOver(b, d, (x, name) =>
    weightedSum(c, o, e.cast(b, e.less(b, at(roots, name), x), x.dtype), name),
  );
  const inverse = sumOver(b, d, (x, name) => weightedSum(c, o, e.reciprocal(b, x), name));
  return new Map([
    ["curvature_floor_share", e.scale(b, floored, 1 / count)],
    ["mean_inverse_scale", e.scale(b, factor ? e.mul(b, factor, inverse) : inverse, 1 / count)],
  ]);
}
