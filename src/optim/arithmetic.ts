import type { Value } from "../ir/graph.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { sumOver } from "../curvature/params.js";
import type { Params } from "./part.js";

export { at, countAll, dot, globalNorm, mapParams, sumOf, sumOver, sumSquares } from "../curvature/params.js";

/** Whether a scalar is neither infinite nor NaN: only then x − x = 0. */
export const isFinite = (b: RuleBuilder, x: Value): Value => e.equal(b, e.sub(b, x, x), e.scalarLike(b, 0, x));

/** Whether every element is finite; a plain sum overflows only where the elements all but do. */
export const allFinite = (b: RuleBuilder, params: Params): Value =>
  isFinite(
    b,
    sumOver(b, params, (x) => e.sumAll(b, x)),
  );

/** numerator / norm, and 0 where the norm is zero or not finite. */
export function guardedRatio(b: RuleBuilder, numerator: Value, norm: Value): Value {
  const zero = e.scalarLike(b, 0, norm);
  const usable = e.and(b, e.greater(b, norm, zero), isFinite(b, norm));
  return e.where(b, usable, e.div(b, numerator, e.where(b, usable, norm, e.scalarLike(b, 1, norm))), zero);
}

/** scale·norm, and 0 for a scale of 0 even where the norm is infinite. */
export function scaledNorm(b: RuleBuilder, scale: Value, norm: Value): Value {
  const zero = e.scalarLike(b, 0, scale);
  return e.where(b, e.equal(b, scale, zero), zero, e.mul(b, scale, norm));
}

/** β·average + (1 − β)·x. */
export const ema = (b: RuleBuilder, beta: Value, average: Value, x: Value): Value =>
  e.add(b, e.mul(b, beta, average), e.mul(b, oneMinus(b, beta), x));

export const oneMinus = (b: RuleBuilder, x: Value): Value => e.sub(b, e.scalarLike(b, 1, x), x);
