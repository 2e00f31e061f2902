import { z } from "zod";
import * as e from "../../ops/emit.js";
import { at, mapParams, oneMinus } from "../arithmetic.js";
import { momentHyper, moments, momentState } from "../moments.js";
import type { Base } from "../part.js";

const options = z.object({});

/**
 * m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  w ← (1 − η λ) w − η (m/c₁) / (√(v/c₂) + ϵ),   cᵢ = 1 − βᵢᵗ
 *
 * Loshchilov & Hutter 2019, Algorithm 2.
 */
export const adamw: Base<typeof options> = {
  name: "adamw",
  summary: "Adam with decoupled weight decay",
  reference: "Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization",
  options,
  hyper: () => [
    { name: "lr", default: 0.001, description: "learning rate η" },
    ...momentHyper,
    { name: "weight_decay", default: 0.01, description: "decoupled weight decay λ" },
  ],
  state: () => momentState,
  descend: (c, _, w, g, s) => {
    const { b, hyper } = c;
    const { m, c1, denominator, state } = moments(c, g, s);
    const next = mapParams(w, (x, name) => {
      const rate = hyper("lr", name);
      const below = denominator(name);
      const update = e.div(b, e.mul(b, e.div(b, rate, c1), at(m, name)), below);
      const kept = e.mul(b, x, oneMinus(b, e.mul(b, rate, hyper("weight_decay", name))));
      return e.sub(b, kept, update);
    });
    return { next, state };
  },
};
