import { z } from "zod";
import * as e from "../../ops/emit.js";
import { at, globalNorm, guardedRatio, mapParams, scaledNorm } from "../arithmetic.js";
import type { Ascent } from "../part.js";

const options = z.object({});

/**
 * ε = ρ·g/‖g‖₂ over all parameters. A zero or overflowing norm gives ε = 0 (ours). Foret et al. 2021, eq. 2.
 */
export const sam: Ascent<typeof options> = {
  name: "sam",
  summary: "sharpness-aware minimization: the gradient at w + ρ g/‖g‖",
  reference: "Foret et al. 2021, Sharpness-Aware Minimization for Efficiently Improving Generalization",
  options,
  hyper: () => [{ name: "rho", default: 0.05, description: "radius of the perturbation, in units of the weights" }],
  state: () => ({ tensors: [], scalars: [] }),
  perturb: ({ b, hyper }, _, w, g) => {
    const norm = globalNorm(b, g);
    const scale = guardedRatio(b, hyper("rho"), norm);
    const perturbed = mapParams(w, (x, name) => e.add(b, x, e.mul(b, scale, at(g, name))));
    return { perturbed, norm: scaledNorm(b, scale, norm) };
  },
};
