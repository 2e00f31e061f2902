import { z } from "zod";
import * as e from "../../ops/emit.js";
import { at, dot, guardedRatio, mapParams, sumOver, sumSquares } from "../arithmetic.js";
import { emptyState, noState, type Combine } from "../part.js";
import { hyper, hyperOf, ranges } from "../schema.js";

const options = z.object({
  alpha: hyper(0.4, "weight α of the part of g orthogonal to the second gradient", {
    min: 0,
    reason: "a negative weight would descend along the surrogate gap, not against it",
  }),
  rho_min: hyper(0, "radius at the smallest learning rate; rho is the radius at the largest", ranges.radius),
  lr_max: hyper(0, "the largest learning rate, at which the radius is rho", ranges.rate, { follows: "lr" }),
  lr_min: hyper(0, "the smallest learning rate, at which the radius is rho_min", ranges.rate),
});

/**
 * g_⊥ = g − ⟨g, ĝ_p⟩ĝ_p with g_p the second gradient; descends along g_p − α g_⊥ = (1 + αc) g_p − α g, c = ⟨g, g_p⟩/‖g_p‖².
 * The ascent's radius follows the learning rate η: ρ = ρ_min + (ρ_max − ρ_min)(η − η_min)/(η_max − η_min), at least 0; ρ_max
 * where η_max = η_min. A zero or overflowing g_p counts as having no direction (ours). Zhuang et al. 2022, Algorithm 1.
 */
export const gsam: Combine<typeof options> = {
  name: "gsam",
  summary: "descend against the surrogate gap too: g_p − α g_⊥, with a radius that follows the learning rate",
  reference: "Zhuang et al. 2022, Surrogate Gap Minimization Improves Sharpness-Aware Training",
  options,
  hyper: (o) => hyperOf(options, o),
  state: () => noState,
  combine: ({ b, hyper: value }, _, g, second) => {
    const alpha = value("alpha");
    const inner = sumOver(b, g, (x, name) => dot(b, x, at(second, name)));
    const squared = sumOver(b, second, (x) => sumSquares(b, x));
    const along = e.add(b, e.scalarLike(b, 1, alpha), e.mul(b, alpha, guardedRatio(b, inner, squared)));
    const descent = mapParams(second, (x, name) => e.sub(b, e.mul(b, along, x), e.mul(b, alpha, at(g, name))));
    return { descent, state: emptyState };
  },
  adjust: ({ b, hyper: value }, _, name, parameter) => {
    if (name !== "rho") return null;
    const [most, least] = [value("rho", parameter), value("rho_min", parameter)];
    const [high, low] = [value("lr_max", parameter), value("lr_min", parameter)];
    const one = e.scalarLike(b, 1, high);
    const span = e.sub(b, high, low);
    const flat = e.equal(b, span, e.scalarLike(b, 0, span));
    const share = e.div(b, e.sub(b, value("lr", parameter), low), e.where(b, flat, one, span));
    const rho = e.add(b, least, e.mul(b, e.sub(b, most, least), e.where(b, flat, one, share)));
    return e.max(b, rho, e.scalarLike(b, 0, rho));
  },
};
