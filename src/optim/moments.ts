import type { Value } from "../ir/graph.js";
import * as e from "../ops/emit.js";
import { must } from "../util/assert.js";
import { at, ema, mapParams } from "./arithmetic.js";
import type { HyperSpec, Params, State, StateLayout, StepContext } from "./part.js";

/** Adam's moving averages, that any base may keep: of the gradient, of its square, and of ones for their bias. */
export const momentState: StateLayout = {
  tensors: [
    { kind: "adam_m", fill: 0 },
    { kind: "adam_v", fill: 0 },
  ],
  scalars: [
    { name: "adam_c1", fill: 0 },
    { name: "adam_c2", fill: 0 },
  ],
};

export const momentHyper: readonly HyperSpec[] = [
  { name: "beta1", default: 0.9, description: "weight of the past in the mean of the gradient" },
  { name: "beta2", default: 0.999, description: "weight of the past in the mean of its square" },
  { name: "eps", default: 1e-8, description: "added to the root of the mean square" },
];

export interface Moments {
  /** m, whose bias c₁ = 1 − β₁ᵗ takes away. */
  m: Params;
  c1: Value;
  /** √(v/c₂) + ϵ of a parameter. */
  denominator: (name: string) => Value;
  state: State;
}

/**
 * m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g². cᵢ = 1 − βᵢᵗ is kept as the same moving average of ones,
 * c ← β c + (1 − β): in float32 the closed form cancels. Kingma & Ba 2015; ϵ stands where PyTorch puts it.
 */
export function moments({ b, hyper }: StepContext, g: Params, s: State): Moments {
  const [beta1, beta2] = [hyper("beta1"), hyper("beta2")];
  const ones = e.scalarLike(b, 1, beta1);
  const c1 = ema(b, beta1, must(s.scalars.get("adam_c1"), "adam_c1"), ones);
  const c2 = ema(b, beta2, must(s.scalars.get("adam_c2"), "adam_c2"), ones);
  const kept = (kind: string): Params => new Map([...must(s.tensors.get(kind), kind)].filter(([name]) => g.has(name)));
  const m = mapParams(kept("adam_m"), (x, name) => ema(b, beta1, x, at(g, name)));
  const v = mapParams(kept("adam_v"), (x, name) => ema(b, beta2, x, e.square(b, at(g, name))));
  const root = e.reciprocal(b, e.sqrt(b, c2));
  return {
    m,
    c1,
    denominator: (name) => e.add(b, e.mul(b, e.sqrt(b, at(v, name)), root), hyper("eps")),
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
}
