import type { Value } from "../ir/graph.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { invariant } from "../util/assert.js";
import type { DType } from "../util/dtype.js";

/** One step of the iteration: T = a (I − c M). */
interface RootStep {
  a: number;
  c: number;
}

/** How far T may go towards zero on the largest eigenvalue, to the power p: beyond, rounding costs more than it saves. */
const leastShare = 0.1;

/**
 * The steps that bring every eigenvalue of [floor, 1] to 1 ± tolerance under λ ← λ (a (1 − c λ))ᵖ. While the spectrum
 * lies in [l, u], c makes both ends equal and a centres the image on 1: l grows about twelvefold in a step for p = 4,
 * where Newton's own a = (p + 1)/p, c = 1/(p + 1) give 2.4.
 */
export function rootSteps(p: number, floor: number, tolerance: number): RootStep[] {
  const steps: RootStep[] = [];
  let [l, u] = [floor, 1];
  while (u - l > tolerance) {
    invariant(steps.length < 200, `no convergence to an inverse root of order ${p} from ${floor}`);
    const ratio = Math.max(l / u, leastShare) ** (1 / p);
    const converging = ratio > 1 - 1e-6;
    const c = converging ? 1 / (p + 1) : (1 - ratio) / (u - ratio * l);
    const image = (x: number): number => x * (1 - c * x) ** p;
    const [low, high] = [Math.min(image(l), image(u)), image(1 / ((p + 1) * c))];
    const a = converging ? (p + 1) / p : (2 / (low + high)) ** (1 / p);
    steps.push({ a, c });
    [l, u] = converging ? [1, 1] : [low * a ** p, high * a ** p];
  }
  return steps;
}

export interface RootOptions {
  /** Eigenvalues below this share of the largest count as if they lay about there: X stays below 3 (floor · λmax)^(−1/p). */
  floor: number;
  /** Added to the diagonal, as a share of λ̄: what float32 needs. A scalar. */
  ridge?: Value;
}

/**
 * X = A^(−1/p) for symmetric positive semi-definite A: [*, n, n], p a power of two, by products of matrices alone:
 *
 *   M ← A/λ̄, X ← I;   T = a (I − c M), X ← X T, M ← M Tᵖ until M = I;   X ← λ̄^(−1/p) X,
 *
 * the coupled Newton iteration of Guo & Higham 2006, A Schur-Newton method for the matrix pth root and its inverse, with
 * the scaling of Chen & Chow 2014 carried over to it. λ̄ = ‖A⁴‖^(1/4) in the Frobenius norm, between λmax and
 * n^(1/8) λmax. X scales as A^(−1/p) does; a zero matrix gives I (ours). In the dtype of A: float64 has max|X²AX² − I|
 * about 1e-10 at condition 1e6, float32 5e-5 at 1e4.
 */
export function inverseRoot(b: RuleBuilder, a: Value, p: number, { floor, ridge }: RootOptions): Value {
  invariant(p >= 1 && Number.isInteger(Math.log2(p)), `inverse roots of order ${p}: a power of two expected`);
  const double = a.dtype === "float64";
  const [peak, isZero] = nonZero(b, reduceMatrix(b, "ReduceMax", e.abs(b, a)));
  const unit = e.div(b, a, peak);
  const [bound] = nonZero(b, largestEigenvalue(b, unit));
  const added = ridge && e.mul(b, bound, e.cast(b, ridge, a.dtype));
  const above = e.scale(b, added ? e.add(b, bound, added) : bound, 1 + (double ? 1e-12 : 1e-5));
  let m = e.div(b, added ? shifted(b, unit, added) : unit, above);
  let x: Value | null = null;
  const steps = rootSteps(p, floor, double ? 1e-12 : 1e-6);
  steps.forEach((step, i) => {
    const t = shifted(b, e.scale(b, m, -step.a * step.c), e.scalarLike(b, step.a, a));
    x = x ? e.matmul(b, x, t) : t;
    if (i === steps.length - 1) return;
    let power = t;
    for (let k = 1; k < p; k *= 2) power = e.matmul(b, power, power);
    m = e.matmul(b, m, power);
  });
  invariant(x, "at least one step");
  const [zero, one] = [e.scalarLike(b, 0, a), e.scalarLike(b, 1, a)];
  const size = e.where(b, isZero, zero, e.pow(b, e.mul(b, peak, above), e.scalarLike(b, -1 / p, a)));
  return shifted(b, e.mul(b, x, size), e.where(b, isZero, one, zero));
}

/** ‖A⁴‖^(1/4) in the Frobenius norm, [*, 1, 1], for a matrix whose largest element is near 1. */
function largestEigenvalue(b: RuleBuilder, a: Value): Value {
  const frobenius = (x: Value): Value => e.sqrt(b, reduceMatrix(b, "ReduceSumSquare", x));
  const [size] = nonZero(b, frobenius(a));
  const unit = e.div(b, a, size);
  const square = e.matmul(b, unit, unit);
  const fourth = e.matmul(b, square, square);
  return e.mul(b, size, e.sqrt(b, e.sqrt(b, frobenius(fourth))));
}

const reduceMatrix = (b: RuleBuilder, op: "ReduceMax" | "ReduceSumSquare", x: Value): Value =>
  b.op(op, [x, b.int64s([-2, -1])], { keepdims: e.int(1) });

/** `x` with 1 for 0, and where it was 0. */
function nonZero(b: RuleBuilder, x: Value): [Value, Value] {
  const isZero = e.equal(b, x, e.scalarLike(b, 0, x));
  return [e.where(b, isZero, e.scalarLike(b, 1, x), x), isZero];
}

/**
 * Where the diagonal of the matrices `like` is, [n, n] in bool: [*, n, n] with n static. The runtime folds it into a constant,
 * and would do so with multiples of the identity, of which an iteration needs one in every step.
 */
export function diagonal(b: RuleBuilder, like: Value): Value {
  const n = like.dims.at(-1);
  invariant(typeof n === "number", `the size of the matrices "${like.name}" is not known`);
  const ids = b.int64s([...Array(n).keys()]);
  return e.equal(b, e.unsqueeze(b, ids, [-1]), ids);
}

/** A + by · I, for `by` a scalar or one number a matrix [*, 1, 1]. */
export const shifted = (b: RuleBuilder, a: Value, by: Value): Value => e.where(b, diagonal(b, a), e.add(b, a, by), a);

/** `emit` on `x` in another dtype, its result back in that of `x`. */
export const computedIn = (b: RuleBuilder, dtype: DType, x: Value, emit: (x: Value) => Value): Value =>
  e.cast(b, emit(e.cast(b, x, dtype)), x.dtype);
