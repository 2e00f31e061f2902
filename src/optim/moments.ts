import type { Value } from "../ir/graph.js";
import * as e from "../ops/emit.js";
import { must } from "../util/assert.js";
import { at, ema, mapParams } from "./arithmetic.js";
import type { Params, State, StateLayout, StepContext } from "./part.js";
import { hyper, ranges } from "./schema.js";

/** Adam's moving averages, that any base may keep: of the gradient, of its square (and its maximum), of ones for their bias. */
export const momentState = (amsgrad = false): StateLayout => ({
  tensors: [
    { kind: "adam_m", fill: 0 },
    { kind: "adam_v", fill: 0 },
    ...(amsgrad ? [{ kind: "adam_v_max", fill: 0 }] : []),
  ],
  scalars: [
    { name: "adam_c1", fill: 0 },
    { name: "adam_c2", fill: 0 },
  ],
});

/** Their hyper-parameters, for the schema of a base. */
export const momentFields = {
  beta1: hyper(0.9, "weight of the past in the mean of the gradient", ranges.average),
  beta2: hyper(0.999, "weight of the past in the mean of its square", ranges.average),
  eps: hyper(1e-8, "added to the root of the mean square", ranges.stabilizer),
};

export interface Moments {
  /** m, whose bias c₁ = 1 − β₁ᵗ takes away. */
  m: Params;
  c1: Value;
  /** √c₂. */
  root: Value;
  /** √v + ϵ√c₂ of a parameter, √c₂ times √(v/c₂) + ϵ: scalars take the factor, so that no pass over the parameter does. */
  denominator: (name: string) => Value;
  state: State;
}

/**
 * m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g². cᵢ = 1 − βᵢᵗ is kept as the same moving average of ones,
 * c ← β c + (1 − β): in float32 the closed form cancels. Kingma & Ba 2015; ϵ stands where PyTorch puts it.
 * With `adam_v_max` in the state, v's maximum is kept there and divides (Reddi et al. 2018).
 */
export function moments({ b, hyper: value }: StepContext, g: Params, s: State): Moments {
  const [beta1, beta2] = [value("beta1"), value("beta2")];
  const ones = e.scalarLike(b, 1, beta1);
  const c1 = ema(b, beta1, must(s.scalars.get("adam_c1"), "adam_c1"), ones);
  const c2 = ema(b, beta2, must(s.scalars.get("adam_c2"), "adam_c2"), ones);
  const kept = (kind: string): Params => new Map([...must(s.tensors.get(kind), kind)].filter(([name]) => g.has(name)));
  const m = mapParams(kept("adam_m"), (x, name) => ema(b, beta1, x, at(g, name)));
  const v = mapParams(kept("adam_v"), (x, name) => ema(b, beta2, x, e.square(b, at(g, name))));
  const before = s.tensors.get("adam_v_max");
  const largest = before && mapParams(before, (x, name) => e.max(b, x, at(v, name)));
  const root = e.sqrt(b, c2);
  const floor = e.mul(b, value("eps"), root);
  return {
    m,
    c1,
    root,
    denominator: (name) => e.add(b, e.sqrt(b, at(largest ?? v, name)), floor),
    state: {
      tensors: new Map([["adam_m", m], ["adam_v", v], ...(largest ? ([["adam_v_max", largest]] as const) : [])]),
      scalars: new Map([
        ["adam_c1", c1],
        ["adam_c2", c2],
      ]),
    },
  };
}
