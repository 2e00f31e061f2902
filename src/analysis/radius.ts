import { estimateOf, type Estimate } from "./trace.js";
import type { LossSurface } from "./surface.js";
import { moved, norm, zerosLike, type Vector } from "./vector.js";

/** The step within an ellipsoid εᵀDε = ρ² along which a linear loss rises most: ε = ρ (g ⊘ d) / √(Σ g² ⊘ d). */
export function ellipsoidStep(gradient: Vector, d: Vector, radius: number): Vector {
  const step = zerosLike(gradient);
  let sum = 0;
  for (let i = 0; i < step.length; i++) {
    const g = gradient[i] ?? 0;
    const scale = d[i] ?? 1;
    step[i] = g / scale;
    sum += g ** 2 / scale;
  }
  const factor = sum > 0 && Number.isFinite(sum) ? radius / Math.sqrt(sum) : 0;
  for (let i = 0; i < step.length; i++) step[i] = factor * (step[i] ?? 0);
  return step;
}

/** d = max(√h, δ): CurvSAM's scale of each coordinate. */
export const curvatureScale = (h: Vector, floor: number): Vector => h.map((x) => Math.max(Math.sqrt(x), floor));

/** sharpness(ρ), along the gradient and in the ellipsoid. */
export interface RadiusSharpness {
  radius: number;
  uniform: Estimate;
  ellipsoid: Estimate;
}

/**
 * sharpness(ρ) = mean over batches b of L_b(w + ε_b) − L_b(w): `uniform` with ε_b = ρ ĝ_b (Foret et al. 2021), `ellipsoid` with the
 * step in CurvSAM's ellipsoid of scales `d`. Batches count alike.
 */
export async function sharpnessAt(
  surface: LossSurface,
  w: Vector,
  radii: readonly number[],
  d: Vector,
  each: () => void = () => undefined,
): Promise<RadiusSharpness[]> {
  const rises = radii.map((radius) => ({ radius, uniform: [] as number[], ellipsoid: [] as number[] }));
  for (let batch = 0; batch < surface.batchCount; batch++) {
    const gradient = await surface.gradient(w, batch);
    const length = norm(gradient);
    const before = await surface.loss(w, batch);
    for (const { radius, uniform, ellipsoid } of rises) {
      const along = moved(w, length > 0 ? radius / length : 0, gradient);
      uniform.push((await surface.loss(along, batch)) - before);
      each();
      ellipsoid.push((await surface.loss(moved(w, 1, ellipsoidStep(gradient, d, radius)), batch)) - before);
      each();
    }
  }
  return rises.map(({ radius, uniform, ellipsoid }) => ({
    radius,
    uniform: estimateOf(uniform),
    ellipsoid: estimateOf(ellipsoid),
  }));
}
