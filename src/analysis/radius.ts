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

/**
 * sharpness(ρ) = mean over batches b of L_b(w + ε_b) − L_b(w), with ε_b = ρ ĝ_b (Foret et al. 2021), or with `d` the step in
 * CurvSAM's ellipsoid. Batches count alike.
 */
export async function sharpnessAt(
  surface: LossSurface,
  w: Vector,
  radii: readonly number[],
  d?: Vector,
  each: () => void = () => undefined,
): Promise<{ radius: number; sharpness: Estimate }[]> {
  const rises = radii.map((): number[] => []);
  for (let batch = 0; batch < surface.batchCount; batch++) {
    const gradient = await surface.gradient(w, batch);
    const length = norm(gradient);
    const before = await surface.loss(w, batch);
    for (const [k, radius] of radii.entries()) {
      const point = d
        ? moved(w, 1, ellipsoidStep(gradient, d, radius))
        : moved(w, length > 0 ? radius / length : 0, gradient);
      rises[k]?.push((await surface.loss(point, batch)) - before);
      each();
    }
  }
  return radii.map((radius, k) => ({ radius, sharpness: estimateOf(rises[k] ?? []) }));
}
