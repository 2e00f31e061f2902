import type { Rng } from "../util/rng.js";
import { mean, standardError } from "../util/statistics.js";
import { zerosLike, type SymmetricOperator, type Vector } from "./vector.js";

/** A mean over probes, and the standard error of that mean (NaN for one probe). */
export interface Estimate {
  mean: number;
  standardError: number;
}

export const estimateOf = (samples: readonly number[]): Estimate => ({
  mean: mean(samples),
  standardError: standardError(samples),
});

export interface Trace {
  total: Estimate;
  /** The traces of the diagonal blocks, by the ranges' names. */
  blocks: Map<string, Estimate>;
  /** The mean of z ⊙ Az: an unbiased estimate of the diagonal. */
  diagonal: Vector;
}

/** A named range of coordinates: a tensor's. */
export interface Range {
  name: string;
  start: number;
  end: number;
}

/**
 * Hutchinson's estimate tr A = E[zᵀAz] with `probes` Rademacher z (Hutchinson 1989), for the whole and for each diagonal block of
 * `ranges` from the same products: E over z of the block's zᵢ(Az)ᵢ is the block's trace, too.
 */
export async function hutchinson(
  apply: SymmetricOperator,
  like: Vector,
  { probes, rng, ranges = [] }: { probes: number; rng: Rng; ranges?: readonly Range[] },
  each: () => void = () => undefined,
): Promise<Trace> {
  const totals: number[] = [];
  const blocks = new Map(ranges.map(({ name }) => [name, [] as number[]]));
  const diagonal = zerosLike(like);
  const z = zerosLike(like);
  for (let probe = 0; probe < probes; probe++) {
    rng.fillSigns(z);
    const product = await apply(z);
    let total = 0;
    for (let i = 0; i < z.length; i++) {
      const x = (z[i] ?? 0) * (product[i] ?? 0);
      total += x;
      diagonal[i] = (diagonal[i] ?? 0) + (x - (diagonal[i] ?? 0)) / (probe + 1);
    }
    totals.push(total);
    for (const { name, start, end } of ranges) {
      let sum = 0;
      for (let i = start; i < end; i++) sum += (z[i] ?? 0) * (product[i] ?? 0);
      blocks.get(name)?.push(sum);
    }
    each();
  }
  return {
    total: estimateOf(totals),
    blocks: new Map([...blocks].map(([name, samples]) => [name, estimateOf(samples)])),
    diagonal,
  };
}
