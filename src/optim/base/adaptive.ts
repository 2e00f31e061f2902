import type { Value } from "../../ir/graph.js";
import * as e from "../../ops/emit.js";
import { must } from "../../util/assert.js";
import { allFinite, at, ema, mapParams, oneMinus } from "../arithmetic.js";
import type { Params, ScalarState, State, StepContext } from "../part.js";

/** β·scalar + (1 − β): the weight that a moving average from zero has gathered, 1 − βᵗ without its cancellation. */
export function averageWeight({ b }: StepContext, beta: Value, s: State, name: string): Value {
  return ema(b, beta, must(s.scalars.get(name), `the scalar "${name}"`), e.scalarLike(b, 1, beta));
}

/** β·state + (1 − β)·x for every parameter. */
export const averageOf = (
  { b }: StepContext,
  beta: Value,
  s: State,
  kind: string,
  x: (name: string) => Value,
): Map<string, Value> =>
  mapParams(must(s.tensors.get(kind), `the state "${kind}"`), (old, name) => ema(b, beta, old, x(name)));

/** w ← (1 − η λ) w − (η/c₁) m / divisor: the step of Adam and of those that divide by something else. */
export function adaptiveStep(
  { b, hyper }: StepContext,
  w: Params,
  m: Params,
  c1: Value,
  divisor: (name: string) => Value,
): Map<string, Value> {
  return mapParams(w, (x, name) => {
    const rate = hyper("lr", name);
    const update = e.div(b, e.mul(b, e.div(b, rate, c1), at(m, name)), divisor(name));
    const kept = e.mul(b, x, oneMinus(b, e.mul(b, rate, hyper("weight_decay", name))));
    return e.sub(b, kept, update);
  });
}

/**
 * `<name>_v` and its weight `<name>_c2`, moved towards `x` by β₂: what bases keep of a measured diagonal. Values that are not
 * finite leave both as they were.
 */
export function averageMeasured(c: StepContext, s: State, name: string, x: Params): State {
  const { b } = c;
  const usable = allFinite(b, x);
  const beta2 = c.hyper("beta2");
  const renew = (old: Value, towards: Value): Value => e.where(b, usable, ema(b, beta2, old, towards), old);
  const v = must(s.tensors.get(`${name}_v`), "the mean of the diagonal");
  const c2 = must(s.scalars.get(`${name}_c2`), "its weight");
  return {
    tensors: new Map([[`${name}_v`, mapParams(v, (old, p) => renew(old, at(x, p)))]]),
    scalars: new Map([[`${name}_c2`, renew(c2, e.scalarLike(b, 1, c2))]]),
  };
}

/** (v/c₂)^power + ϵ of what `averageMeasured` keeps; v/c₂ counts as 1 before the first measurement that is finite (ours). */
function measuredDivisor({ b, hyper }: StepContext, s: State, name: string, power: number): (name: string) => Value {
  const raised = (x: Value): Value => (power === 0.5 ? e.sqrt(b, x) : e.pow(b, x, e.scalarLike(b, power, x)));
  const c2 = must(s.scalars.get(`${name}_c2`), "the weight of the diagonal");
  const [zero, one] = [e.scalarLike(b, 0, c2), e.scalarLike(b, 1, c2)];
  const measured = e.isPositive(b, c2);
  const factor = e.where(b, measured, e.reciprocal(b, raised(e.where(b, measured, c2, one))), zero);
  const rest = e.add(b, hyper("eps"), e.where(b, measured, zero, one));
  const v = must(s.tensors.get(`${name}_v`), "the mean of the diagonal");
  return (parameter) => e.add(b, e.mul(b, raised(at(v, parameter)), factor), rest);
}

/** The weights that `<name>_m` and `<name>_v` have gathered. */
export const measuredScalars = (name: string): ScalarState[] => [
  { name: `${name}_c1`, fill: 0 },
  { name: `${name}_c2`, fill: 0 },
];

/** m ← β₁ m + (1 − β₁) g, then w ← (1 − η λ) w − η (m/c₁) / ((v/c₂)^power + ϵ) of what `averageMeasured` keeps. */
export function descendByMeasured(
  c: StepContext,
  w: Params,
  g: Params,
  s: State,
  name: string,
  power: number,
): { next: Params; state: State } {
  const beta1 = c.hyper("beta1");
  const m = averageOf(c, beta1, s, `${name}_m`, (parameter) => at(g, parameter));
  const c1 = averageWeight(c, beta1, s, `${name}_c1`);
  return {
    next: adaptiveStep(c, w, m, c1, measuredDivisor(c, s, name, power)),
    state: { tensors: new Map([[`${name}_m`, m]]), scalars: new Map([[`${name}_c1`, c1]]) },
  };
}
