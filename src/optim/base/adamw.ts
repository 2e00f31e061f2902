import { z } from "zod";
import { adaptiveStep } from "./adaptive.js";
import * as e from "../../ops/emit.js";
import { momentFields, moments, momentState } from "../moments.js";
import type { Base } from "../part.js";
import { hyper, hyperOf, ranges } from "../schema.js";

const options = z.object({
  amsgrad: z.boolean().default(false).describe("divide by the largest mean square so far"),
  lr: hyper(0.001, "learning rate η", ranges.rate),
  ...momentFields,
  weight_decay: hyper(0.01, "decoupled weight decay λ", ranges.decay),
});

/**
 * m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  w ← (1 − η λ) w − η (m/c₁) / (√(v/c₂) + ϵ),   cᵢ = 1 − βᵢᵗ
 *
 * AMSGrad (Reddi et al. 2018) has the largest v so far in the place of v, taken before the bias is corrected, as PyTorch does.
 * Loshchilov & Hutter 2019, Algorithm 2.
 */
export const adamw: Base<typeof options> = {
  name: "adamw",
  summary: "Adam with decoupled weight decay",
  reference: "Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization",
  options,
  hyper: (o) => hyperOf(options, o),
  state: (o) => momentState(o.amsgrad),
  descend: (c, _, w, g, s) => {
    const { m, c1, root, denominator, state } = moments(c, g, s);
    return { next: adaptiveStep(c, w, m, e.div(c.b, c1, root), denominator), state };
  },
};
