import { invariant } from "../util/assert.js";

/** A point or a direction in parameter space: every tensor's elements, one after another. */
export type Vector = Float32Array | Float64Array;

/** y = A v for a symmetric A, such as a Hessian. */
export type SymmetricOperator = (v: Vector) => Promise<Vector>;

/** A zero vector of the same length and precision. */
export const zerosLike = (v: Vector): Vector =>
  v instanceof Float64Array ? new Float64Array(v.length) : new Float32Array(v.length);

export function dot(a: Vector, b: Vector): number {
  invariant(a.length === b.length, `vectors of ${a.length} and ${b.length}`);
  // In blocks: one running sum of 1e7 products would lose digits even in float64 where signs alternate.
  const block = 4096;
  let total = 0;
  for (let start = 0; start < a.length; start += block) {
    const end = Math.min(a.length, start + block);
    let sum = 0;
    for (let i = start; i < end; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
    total += sum;
  }
  return total;
}

export const norm = (v: Vector): number => Math.sqrt(dot(v, v));

/** y ← y + a x. */
export function addScaled(y: Vector, a: number, x: Vector): void {
  for (let i = 0; i < y.length; i++) y[i] = (y[i] ?? 0) + a * (x[i] ?? 0);
}

export function scaled(v: Vector, a: number): Vector {
  const result = zerosLike(v);
  for (let i = 0; i < v.length; i++) result[i] = a * (v[i] ?? 0);
  return result;
}

/** w + a x, as a new vector. */
export function moved(w: Vector, a: number, x: Vector): Vector {
  const result = w.slice();
  addScaled(result, a, x);
  return result;
}
