/** Functions that JavaScript's Math lacks, to float64 precision. */

/** erf x = 2/√π · e^(−x²) · Σₙ 2ⁿ x^(2n+1) / (2n+1)!!: every term has one sign, so nothing cancels. */
export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

export const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** Nearest integer, halves to even. */
export function roundEven(x: number): number {
  const r = Math.round(x);
  return Math.abs(x - Math.trunc(x)) === 0.5 ? 2 * Math.round(x / 2) : r;
}

/** log Σ e^x of a line. */
export function logSumExp(xs: Float64Array): number {
  const top = xs.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!Number.isFinite(top)) return top;
  return top + Math.log(xs.reduce((s, x) => s + Math.exp(x - top), 0));
}
