import { z } from "zod";
import * as e from "../../ops/emit.js";
import { must } from "../../util/assert.js";
import { at, ema, mapParams, oneMinus } from "../arithmetic.js";
import type { Base } from "../part.js";

const options = z.object({});

/**
 * m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  w ← (1 − η λ) w − η (m/c₁) / (√(v/c₂) + ϵ)
 *
 * cᵢ = 1 − βᵢᵗ is kept as the same moving average of ones, c ← β c + (1 − β): in float32 the closed form cancels.
 * Loshchilov & Hutter 2019, Algorithm 2; ϵ stands where PyTorch puts it.
 */
export const adamw: Base<typeof options> = {
  name: "adamw",
  summary: "Adam with decoupled weight decay",
  reference: "Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization",
  options,
  hyper: () => [
    { name: "lr", default: 0.001, description: "learning rate η" },
    { name: "beta1", default: 0.9, description: "weight of the past in the mean of the gradient" },
    { name: "beta2", default: 0.999, description: "weight of the past in the mean of its square" },
    { name: "eps", default: 1e-8, description: "added to the root of the mean square" },
    { name: "weight_decay", default: 0.01, description: "decoupled weight decay λ" },
  ],
  state: () => ({
    tensors: [
      { kind: "adam_m", fill: 0 },
      { kind: "adam_v", fill: 0 },
    ],
    scalars: [
      { name: "adam_c1", fill: 0 },
      { name: "adam_c2", fill: 0 },
    ],
  }),
  descend: ({ b, hyper }, _, w, g, s) => {
    const beta1 = hyper("beta1");
    const beta2 = hyper("beta2");
    const ones = e.scalarLike(b, 1, beta1);
    const c1 = ema(b, beta1, must(s.scalars.get("adam_c1"), "adam_c1"), ones);
    const c2 = ema(b, beta2, must(s.scalars.get("adam_c2"), "adam_c2"), ones);
    const m = mapParams(must(s.tensors.get("adam_m"), "adam_m"), (x, name) => ema(b, beta1, x, at(g, name)));
    const v = mapParams(must(s.tensors.get("adam_v"), "adam_v"), (x, name) =>
      ema(b, beta2, x, e.square(b, at(g, name))),
    );
    const root = e.reciprocal(b, e.sqrt(b, c2));
    const next = mapParams(w, (x, name) => {
      const rate = hyper("lr", name);
      const denominator = e.add(b, e.mul(b, e.sqrt(b, at(v, name)), root), hyper("eps"));
      const update = e.div(b, e.mul(b, e.div(b, rate, c1), at(m, name)), denominator);
      const kept = e.mul(b, x, oneMinus(b, e.mul(b, rate, hyper("weight_decay", name))));
      return e.sub(b, kept, update);
    });
    return {
      next,
      state: {
        tensors: new Map([
          ["adam_m", m],
          ["adam_v", v],
        ]),
        scalars: new Map([
          ["adam_c1", c1],
          ["adam_c2", c2],
        ]),
      },
    };
  },
};
