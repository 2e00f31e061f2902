import { int, tensorType, type Value } from "../ir/graph.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { freshDim } from "../util/shape.js";

/** The cotangents that reach each value, summed; every one brought to the shape of its value first. */
export class Cotangents {
  private readonly sums = new Map<Value, Value>();
  constructor(private readonly b: RuleBuilder) {}

  add(primal: Value, cotangent: Value): void {
    const term = unbroadcast(this.b, cotangent, primal);
    const sum = this.sums.get(primal);
    this.sums.set(primal, sum ? e.add(this.b, sum, term) : term);
  }

  get(primal: Value): Value | null {
    return this.sums.get(primal) ?? null;
  }
}

/**
 * Sums `cotangent` over the axes along which `primal` was broadcast: the adjoint of broadcasting. The axes are chosen
 * here where the shapes tell them, and at run time where they do not.
 */
export function unbroadcast(b: RuleBuilder, cotangent: Value, primal: Value): Value {
  const from = cotangent.shape;
  const to = primal.shape;
  if (!from || !to) return unbroadcastAtRunTime(b, cotangent, primal);
  const lead = from.length - to.length;
  if (lead < 0) return e.expandLike(b, cotangent, primal);
  const ones: number[] = [];
  let expand = false;
  for (let i = 0; i < to.length; i++) {
    const size = from[lead + i];
    if (size === to[i]) continue;
    if (to[i] === 1) ones.push(lead + i);
    else if (size === 1) expand = true;
    else return unbroadcastAtRunTime(b, cotangent, primal);
  }
  const leading = [...Array(lead).keys()];
  let result = cotangent;
  if (ones.length === 0) result = e.reduceSum(b, result, leading, false);
  else {
    result = e.reduceSum(b, result, [...leading, ...ones]);
    if (lead > 0) result = e.squeeze(b, result, leading);
  }
  return expand ? e.expandLike(b, result, primal) : result;
}

/** axes = where(shape(primal), padded with ones to the cotangent's rank, is 1 and the cotangent's is not). */
function unbroadcastAtRunTime(b: RuleBuilder, cotangent: Value, primal: Value): Value {
  const from = e.shapeOf(b, cotangent);
  const to = e.shapeOf(b, primal);
  const one = b.int64s([1]);
  const vector = tensorType("int64", [cotangent.shape?.length ?? "?rank"]);
  const missing = e.sub(b, b.op("Shape", [from]), b.op("Shape", [to]));
  const ones = e.expand(b, one, missing, tensorType("int64", ["?missing"]));
  const padded = b.op("Concat", [ones, to], { axis: int(0) }, { types: [vector] });
  const summed = e.and(b, e.equal(b, padded, one), e.not(b, e.equal(b, from, one)));
  const found = b.op("NonZero", [summed], {}, { types: [tensorType("int64", [1, "?axes"])] });
  const axes = e.squeeze(b, found, [0]);
  const reduced = b.op(
    "ReduceSum",
    [cotangent, axes],
    { keepdims: int(1), noop_with_empty_axes: int(1) },
    { types: [tensorType(cotangent.dtype, cotangent.shape?.map(freshDim) ?? null)] },
  );
  return e.reshapeTo(b, reduced, to, tensorType(cotangent.dtype, primal.shape));
}
