import { z } from "zod";
import { mapParams, sumSquares } from "../arithmetic.js";
import { noState, type Ascent } from "../part.js";
import { hyper, hyperOf, ranges } from "../schema.js";
import { perturbAlong } from "./perturbation.js";

const options = z.object({
  scope: z.enum(["global", "group"]).default("global").describe("one norm over all parameters, or one a group"),
  rho: hyper(0.05, "radius of the perturbation, in units of the weights", ranges.radius),
});

/**
 * ε = ρ·g/‖g‖₂ over all parameters. A zero or overflowing norm gives ε = 0 (ours). Foret et al. 2021, eq. 2.
 */
export const sam: Ascent<typeof options> = {
  name: "sam",
  summary: "sharpness-aware minimization: the gradient at w + ρ g/‖g‖",
  reference: "Foret et al. 2021, Sharpness-Aware Minimization for Efficiently Improving Generalization",
  options,
  hyper: (o) => hyperOf(options, o),
  state: () => noState,
  gradients: () => 1,
  perturb: (c, o, w, g) => {
    const directions = new Map([...g].map(([name, tensor]) => [name, { tensor }]));
    return perturbAlong(
      c,
      w,
      directions,
      mapParams(g, (x) => sumSquares(c.b, x)),
      o.scope,
    );
  },
};
