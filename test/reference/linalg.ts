/** Dense symmetric matrices in float64, row by row: what emitted roots and inverses are held against. */
import { Rng } from "../../src/util/rng.js";
import { EigenvalueDecomposition, Matrix } from "ml-matrix";

/** n values from 1 down to 1/condition, in equal ratios. */
export const geometric = (n: number, condition: number): number[] =>
  Array.from({ length: n }, (_, i) => condition ** (-i / Math.max(n - 1, 1)));

/** A random n × n matrix with orthonormal rows (Gram-Schmidt, twice). */
function orthogonal(n: number, seed: number): Float64Array[] {
  const rng = new Rng("orthogonal", seed);
  const rows: Float64Array[] = [];
  while (rows.length < n) {
    const row = new Float64Array(n);
    rng.fillNormal(row);
    for (let again = 0; again < 2; again++) {
      for (const q of rows) {
        const along = q.reduce((s, x, i) => s + x * row[i]!, 0);
        q.forEach((x, i) => (row[i] = row[i]! - along * x));
      }
      const length = Math.sqrt(row.reduce((s, x) => s + x * x, 0));
      row.forEach((x, i) => (row[i] = x / length));
    }
    rows.push(row);
  }
  return rows;
}

/** Σₖ λₖ qₖ qₖᵀ with random orthonormal q: the same q for the same seed. */
export function withSpectrum(spectrum: readonly number[], seed: number): Float64Array {
  const n = spectrum.length;
  const out = new Float64Array(n * n);
  orthogonal(n, seed).forEach((q, k) => {
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) out[i * n + j] = out[i * n + j]! + spectrum[k]! * q[i]! * q[j]!;
  });
  return out;
}

/** f of the eigenvalues of a symmetric n × n matrix, eigenvectors kept. */
export function symmetricFunction(a: ArrayLike<number>, n: number, f: (eigenvalue: number) => number): Float64Array {
  const rows = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => a[i * n + j]!));
  const { realEigenvalues, eigenvectorMatrix: v } = new EigenvalueDecomposition(new Matrix(rows), {
    assumeSymmetric: true,
  });
  const scaled = Matrix.diag(realEigenvalues.map(f));
  return Float64Array.from(v.mmul(scaled).mmul(v.transpose()).to1DArray());
}
