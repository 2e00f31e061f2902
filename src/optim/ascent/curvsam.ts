import { z } from "zod";
import type { Value } from "../../ir/graph.js";
import * as e from "../../ops/emit.js";
import type { RuleBuilder } from "../../ops/rule.js";
import { must } from "../../util/assert.js";
import { allFinite, at, ema, globalNorm, guardedRatio, mapParams, scaledNorm, sumOver } from "../arithmetic.js";
import { hvpMeasure } from "../../curvature/hvp.js";
import type { Ascent, Params, State } from "../part.js";

const options = z.object({
  frequency: z.int().positive().default(5).describe("steps between curvature refreshes (F)"),
  probe: z.enum(["normal", "rademacher"]).default("normal").describe("distribution of the probe z"),
});

const curvatureOf = (s: State): Params => must(s.tensors.get("curvature"), "the curvature state");

/** d = max(√h, δ). */
const scaleOf = (b: RuleBuilder, h: Value, delta: Value): Value => e.max(b, e.sqrt(b, h), delta);

/**
 * Algorithm 1 of the CurvSAM paper, element by element, with one norm over all parameters:
 *
 *   h ← β h + (1 − β) |z ⊙ Hz|   every F steps, z ~ N(0, I), h₀ = 1
 *   d = max(√h, δ)
 *   ε = ρ (g ⊘ d) / √(Σ g² ⊘ d),   so that εᵀ D ε = ρ²
 *
 * Shapes of h, z, d, ε: those of w. Ours: a zero or overflowing norm gives ε = 0; an Hz that is not finite keeps h.
 */
export const curvsam: Ascent<typeof options> = {
  name: "curvsam",
  summary: "SAM whose perturbation ellipsoid follows the local curvature",
  reference: "CurvSAM, Algorithm 1",
  options,
  hyper: () => [
    { name: "rho", default: 0.05, description: "radius of the perturbation ellipsoid: εᵀDε = ρ²" },
    { name: "beta", default: 0.9, description: "weight of the past in the moving average of the curvature" },
    { name: "delta", default: 0.01, description: "floor of the curvature scale d = max(√h, δ)" },
  ],
  state: () => ({ tensors: [{ kind: "curvature", fill: 1 }], scalars: [] }),
  perturb: ({ b, hyper }, _, w, g, s) => {
    const h = curvatureOf(s);
    const direction = mapParams(g, (x, name) => e.div(b, x, scaleOf(b, at(h, name), hyper("delta"))));
    const norm = e.sqrt(
      b,
      sumOver(b, g, (x, name) => e.sumAll(b, e.mul(b, x, at(direction, name)))),
    );
    const scale = guardedRatio(b, hyper("rho"), norm);
    const perturbed = mapParams(w, (x, name) => e.add(b, x, e.mul(b, scale, at(direction, name))));
    return { perturbed, norm: scaledNorm(b, scale, globalNorm(b, direction)) };
  },
  curvature: (o) => ({
    estimator: "hvp",
    frequency: o.frequency,
    measure: hvpMeasure(o.probe),
    refresh: ({ b, hyper }, _, m, s) => {
      const h = curvatureOf(s);
      const hvp = m.value("hvp");
      const estimate = mapParams(m.probe("z"), (z, name) => e.abs(b, e.mul(b, z, at(hvp, name))));
      const usable = allFinite(b, estimate);
      const next = mapParams(h, (old, name) => e.where(b, usable, ema(b, hyper("beta"), old, at(estimate, name)), old));
      const scales = mapParams(next, (x) => scaleOf(b, x, hyper("delta")));
      const count = sumOver(b, scales, (x) => e.countOf(b, x, [...x.dims.keys()]));
      const floored = sumOver(b, scales, (x) => e.sumAll(b, e.cast(b, e.lessOrEqual(b, x, hyper("delta")), x.dtype)));
      const inverse = sumOver(b, scales, (x) => e.sumAll(b, e.reciprocal(b, x)));
      return {
        next: { tensors: new Map([["curvature", next]]), scalars: new Map() },
        diagnostics: new Map([
          ["curvature_floor_share", e.div(b, floored, count)],
          ["mean_inverse_scale", e.div(b, inverse, count)],
        ]),
      };
    },
  }),
};
