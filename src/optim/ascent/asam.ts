import { z } from "zod";
import type { Value } from "../../ir/graph.js";
import * as e from "../../ops/emit.js";
import { at, mapParams, sumSquares } from "../arithmetic.js";
import { noState, type Ascent, type ParameterInfo, type StepContext } from "../part.js";
import { hyper, hyperOf, ranges } from "../schema.js";
import { perturbAlong, type Direction } from "./perturbation.js";

const options = z.object({
  adapt: z
    .enum(["weights", "all"])
    .default("weights")
    .describe("adapt to the size of weights (called so, or of two axes and more), or of every tensor"),
  scope: z.enum(["global", "group"]).default("global").describe("one norm over all parameters, or one a group"),
  rho: hyper(0.5, "radius of the perturbation, relative to the weights", ranges.radius),
  eta: hyper(0.01, "added to |w| in the adaptive scale (η_A)", ranges.stabilizer),
});

const isWeight = ({ name, shape }: ParameterInfo): boolean => shape.length >= 2 || name.includes("weight");

/**
 * ε = ρ T²g / ‖Tg‖₂ with T = |w| + η_A on the tensors that are adapted, 1 on others. Rescaling invariance, ε(Aw) = Aε(w), holds
 * with η_A = 0 and T on every tensor. As in the authors' code, norm gains called weight are adapted. Zero or overflowing
 * norms give ε = 0 (ours). Kwon et al. 2021, eq. 4.
 */
export const asam: Ascent<typeof options> = {
  name: "asam",
  summary: "SAM whose perturbation is relative to the size of each weight",
  reference: "Kwon et al. 2021, ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning",
  options,
  hyper: (o) => hyperOf(options, o),
  state: () => noState,
  gradients: () => 1,
  perturb: (c, o, w, g) => {
    const { b } = c;
    const scaleOf = (name: string): Value | null =>
      o.adapt === "all" || isWeight(at(c.parameters, name)) ? adaptiveScale(c, at(w, name)) : null;
    const scaled = mapParams(g, (x, name) => {
      const t = scaleOf(name);
      return t ? e.mul(b, t, x) : x;
    });
    const directions = new Map<string, Direction>(
      [...scaled].map(([name, x]) => {
        const t = scaleOf(name);
        return [name, { tensor: t ? e.mul(b, t, x) : x }];
      }),
    );
    return perturbAlong(
      c,
      w,
      directions,
      mapParams(scaled, (x) => sumSquares(b, x)),
      o.scope,
    );
  },
};

const adaptiveScale = ({ b, hyper: value }: StepContext, w: Value): Value => e.add(b, e.abs(b, w), value("eta"));
