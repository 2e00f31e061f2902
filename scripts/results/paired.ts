import jstat from "jstat";
import { mean, standardError } from "../../src/util/statistics.js";

/** A comparison of two methods on the same seeds. */
export interface Paired {
  /** Mean of the differences a − b. */
  difference: number;
  /** Its standard error. */
  error: number;
  /** Two-sided p of Student's paired t-test; 1 where no two differ. */
  p: number;
}

/** Student's paired t-test of `a` against `b`, entry by entry of the same seed; at least two of them. */
export function pairedTest(a: readonly number[], b: readonly number[]): Paired {
  const differences = a.map((x, i) => x - (b[i] ?? NaN));
  const [difference, error] = [mean(differences), standardError(differences)];
  const t = Math.abs(difference) / error;
  const p = error === 0 ? Number(difference === 0) : 2 * (1 - jstat.studentt.cdf(t, differences.length - 1));
  return { difference, error, p };
}
