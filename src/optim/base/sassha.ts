import { z } from "zod";
import { signedHutchinson } from "../../curvature/estimator.js";
import { hvpMeasure } from "../../curvature/hvp.js";
import * as e from "../../ops/emit.js";
import { mapParams } from "../arithmetic.js";
import type { Base } from "../part.js";
import { hyper, hyperOf, ranges } from "../schema.js";
import { averageMeasured, descendByMeasured, measuredScalars } from "./adaptive.js";

const options = z.object({
  frequency: z.int().positive().default(10).describe("steps between measurements of the Hessian diagonal"),
  probe: z.enum(["normal", "rademacher"]).default("rademacher").describe("distribution of the probe z"),
  lr: hyper(0.15, "learning rate η", ranges.rate),
  beta1: hyper(0.9, "weight of the past in the mean of the gradient", ranges.average),
  beta2: hyper(0.999, "weight of the past in the mean of the diagonal", ranges.average),
  eps: hyper(1e-4, "added to the root of the mean diagonal", ranges.stabilizer),
  weight_decay: hyper(0, "decoupled weight decay λ", ranges.decay),
});

/**
 * v ← β₂ v + (1 − β₂) |z ⊙ Hz| every F steps;  m ← β₁ m + (1 − β₁) g;  w ← (1 − η λ) w − η (m/c₁) / (√(v/c₂) + ϵ)
 *
 * H and g are of the perturbed point: with SAM as the ascent this is SASSHA; z is Rademacher, c₂ counts refreshes. An HVP that is
 * not finite keeps v; before the first finite one, v/c₂ counts as 1 (ours). Shin et al. 2025, Algorithm 1.
 */
export const sassha: Base<typeof options> = {
  name: "sassha",
  summary: "descend preconditioned by the root of the Hessian's absolute diagonal, measured lazily",
  reference:
    "Shin et al. 2025, SASSHA: Sharpness-aware Adaptive Second-order Optimization with Stable Hessian Approximation",
  options,
  hyper: (o) => hyperOf(options, o),
  state: () => ({
    tensors: [
      { kind: "sassha_m", fill: 0 },
      { kind: "sassha_v", fill: 0 },
    ],
    scalars: measuredScalars("sassha"),
  }),
  gradients: (o) => 2 / o.frequency,
  curvature: (o) => ({
    estimator: "hvp",
    frequency: o.frequency,
    measure: hvpMeasure(o.probe),
    refresh: (c, _, measured, s) => {
      const diagonal = mapParams(signedHutchinson(c.b, measured, 1), (x) => e.abs(c.b, x));
      return { next: averageMeasured(c, s, "sassha", diagonal), diagnostics: new Map() };
    },
  }),
  descend: (c, _, w, g, s) => descendByMeasured(c, w, g, s, "sassha", 0.5),
};
