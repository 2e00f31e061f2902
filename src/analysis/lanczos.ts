import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { check, must } from "../util/assert.js";
import { addScaled, dot, norm, scaled, type SymmetricOperator, type Vector } from "./vector.js";

/** A Krylov decomposition A Q = Q T + β qₘ₊₁ eₘᵀ: T symmetric tridiagonal, Q orthonormal. */
export interface Krylov {
  /** Diagonal of T. */
  alpha: number[];
  /** Off-diagonal of T, and the last β behind it: 0 where the Krylov space is invariant. */
  beta: number[];
  basis: Vector[];
}

/** An eigenpair of T: an approximate eigenvalue of A. */
export interface Ritz {
  value: number;
  /** ‖A x − θ x‖₂ for the Ritz vector x: some eigenvalue of A lies within it. */
  residual: number;
  /** The first element of T's eigenvector, whose square is the weight of stochastic quadrature. */
  first: number;
}

/** Below this share of ‖T‖, β is rounding: the space is invariant. */
const breakdown = 1e-7;

/**
 * Lanczos with full reorthogonalisation, twice (Parlett, The Symmetric Eigenvalue Problem, 1998, §6.9 and §13), from
 * `start`, for up to `steps` products. `enough` sees the decomposition after each and may end it early. Memory: one
 * vector a step.
 */
export async function lanczos(
  apply: SymmetricOperator,
  start: Vector,
  steps: number,
  enough: (soFar: Krylov) => boolean = () => false,
): Promise<Krylov> {
  const length = norm(start);
  check(length > 0, "Lanczos needs a start that is not zero");
  const krylov: Krylov = { alpha: [], beta: [], basis: [] };
  let q = scaled(start, 1 / length);
  let scale = 0;
  for (let j = 0; j < Math.min(steps, start.length); j++) {
    krylov.basis.push(q);
    const w = (await apply(q)).slice();
    const a = dot(w, q);
    check(Number.isFinite(a), "a Hessian-vector product is not finite; look at the weights and the data");
    for (let pass = 0; pass < 2; pass++) {
      for (const v of krylov.basis) addScaled(w, -dot(w, v), v);
    }
    const b = norm(w);
    krylov.alpha.push(a);
    scale = Math.max(scale, Math.abs(a) + b);
    const ended = b <= breakdown * scale;
    krylov.beta.push(ended ? 0 : b);
    if (ended || enough(krylov)) break;
    q = scaled(w, 1 / b);
  }
  return krylov;
}

/** The eigenpairs of T, largest value first. */
export function ritzPairs({ alpha, beta }: Krylov): Ritz[] {
  const m = alpha.length;
  const t = Matrix.zeros(m, m);
  for (let i = 0; i < m; i++) {
    t.set(i, i, alpha[i] ?? 0);
    if (i + 1 < m) {
      t.set(i, i + 1, beta[i] ?? 0);
      t.set(i + 1, i, beta[i] ?? 0);
    }
  }
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(t, { assumeSymmetric: true });
  return realEigenvalues
    .map((value, k) => ({
      value,
      residual: Math.abs((beta[m - 1] ?? 0) * eigenvectorMatrix.get(m - 1, k)),
      first: eigenvectorMatrix.get(0, k),
    }))
    .sort((x, y) => y.value - x.value);
}

export interface Extremes {
  /** The largest eigenvalues, largest first. */
  largest: Ritz[];
  smallest: Ritz;
  /** Hessian-vector products taken. */
  products: number;
  /** Whether every one of `largest` and `smallest` has a residual within the tolerance. */
  converged: boolean;
}

/**
 * The `k` largest eigenvalues and the smallest, until each residual is at most `tolerance` times the largest |eigenvalue|, or
 * `steps` products are spent. An eigenvalue that returns is found once: a Krylov space holds one vector of each eigenspace.
 */
export async function extremeEigenvalues(
  apply: SymmetricOperator,
  start: Vector,
  { k, steps, tolerance = 1e-4 }: { k: number; steps: number; tolerance?: number },
): Promise<Extremes> {
  const extremes = (krylov: Krylov): { largest: Ritz[]; smallest: Ritz } => {
    const pairs = ritzPairs(krylov);
    return { largest: pairs.slice(0, k), smallest: must(pairs.at(-1), "a Ritz pair") };
  };
  const good = (krylov: Krylov): boolean => {
    if (krylov.alpha.length <= k) return false;
    const { largest, smallest } = extremes(krylov);
    const scale = Math.max(Math.abs(smallest.value), Math.abs(largest[0]?.value ?? 0));
    return [...largest, smallest].every(({ residual }) => residual <= tolerance * scale);
  };
  const krylov = await lanczos(apply, start, steps, good);
  const spent = krylov.beta.at(-1) === 0;
  return { ...extremes(krylov), products: krylov.alpha.length, converged: spent || good(krylov) };
}
