import type { Rng } from "../util/rng.js";
import { lanczos, ritzPairs } from "./lanczos.js";
import { zerosLike, type SymmetricOperator, type Vector } from "./vector.js";

/** A spectral density as a weighted sum of points; the weights sum to 1. */
export interface Spectrum {
  points: { value: number; weight: number }[];
}

/**
 * The spectral density by stochastic Lanczos quadrature: of each of `probes` Rademacher starts, the Ritz values after `steps`
 * products, weighted by the squared first elements of T's eigenvectors (Ubaru, Chen and Saad 2017; Ghorbani et al. 2019).
 */
export async function spectralDensity(
  apply: SymmetricOperator,
  like: Vector,
  { probes, steps, rng }: { probes: number; steps: number; rng: Rng },
  each: () => void = () => undefined,
): Promise<Spectrum> {
  const points: Spectrum["points"] = [];
  for (let probe = 0; probe < probes; probe++) {
    const start = zerosLike(like);
    rng.fillSigns(start);
    const krylov = await lanczos(
      async (v) => {
        const product = await apply(v);
        each();
        return product;
      },
      start,
      steps,
    );
    for (const { value, first } of ritzPairs(krylov)) points.push({ value, weight: first ** 2 / probes });
  }
  return { points: points.sort((a, b) => a.value - b.value) };
}

/**
 * The density on `count` even points, each of the spectrum's points widened to a Gaussian of deviation `width` times the
 * spectrum's extent.
 */
export function smoothedDensity({ points }: Spectrum, count = 400, width = 0.01): { value: number; density: number }[] {
  const low = Math.min(...points.map(({ value }) => value));
  const high = Math.max(...points.map(({ value }) => value));
  const extent = high > low ? high - low : Math.max(Math.abs(high), 1);
  const deviation = width * extent;
  const start = low - 4 * deviation;
  const step = (extent + 8 * deviation) / (count - 1);
  return Array.from({ length: count }, (_, i) => {
    const value = start + i * step;
    const density = points.reduce(
      (sum, p) => sum + p.weight * Math.exp(-0.5 * ((value - p.value) / deviation) ** 2),
      0,
    );
    return { value, density: density / (deviation * Math.sqrt(2 * Math.PI)) };
  });
}
