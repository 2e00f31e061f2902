import type { PackageRuntime } from "../runtime/runtime.js";
import type { Callbacks } from "../train/options.js";
import { curvatureWeight } from "../train/curvature.js";
import { check, UserError } from "../util/assert.js";
import type { JsonValue } from "../util/json.js";
import { sharpness, type Sharpness, type SharpnessOptions } from "./sharpness.js";
import type { LossSurface } from "./surface.js";
import type { Vector } from "./vector.js";

/** How often sharpness is measured as training goes on, and what it may cost. */
export interface SharpnessCallbackOptions extends Pick<
  SharpnessOptions,
  "lanczosSteps" | "probes" | "radii" | "floor" | "seed"
> {
  /** Steps between measurements. */
  every: number;
}

/**
 * A callback of `fit` that measures sharpness at the weights of every `every`-th step, on the batches of `surface`, and logs it as the
 * event `sharpness`: the extreme eigenvalues, the trace with its standard error, and the rises of the loss at each radius. It costs
 * at most `lanczosSteps` + `probes` (20 and 5 where nothing is said) Hessian-vector products on every batch. CurvSAM's ellipsoid is that of
 * its own curvature state. Where the Hessian is not finite, that is what is logged, and training goes on.
 */
export function sharpnessCallback(
  surface: LossSurface,
  runtime: PackageRuntime,
  { every, ...options }: SharpnessCallbackOptions,
): Callbacks {
  check(Number.isInteger(every) && every >= 1, `every: ${every}; a whole number from 1 on expected`);
  return {
    every,
    onStep: async ({ wasSkipped, step }, at) => {
      if (wasSkipped || step % every !== 0) return;
      try {
        const w = surface.pointOf(await runtime.read(surface.tensors));
        const curvature = await curvatureState(surface, runtime);
        const limits = { topK: 1, lanczosSteps: 20, probes: 5, ...options };
        at.log("sharpness", valuesOf(await sharpness(surface, w, { ...limits, ...(curvature && { curvature }) })));
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        at.log("sharpness", { problem: error.message });
      }
    },
  };
}

/** CurvSAM's h as a point of the surface; null where the package has none for each element. */
async function curvatureState({ blocks, size }: LossSurface, runtime: PackageRuntime): Promise<Vector | null> {
  const { state, parameters } = runtime.manifest;
  const whole = blocks.every(({ name }) => state[`curvature/${name}`]?.shape.join() === parameters[name]?.shape.join());
  if (!whole) return null;
  const h = new Float32Array(size);
  const weight = await curvatureWeight(runtime);
  for (const { name, start } of blocks) {
    const key = `curvature/${name}`;
    const { [key]: part } = await runtime.read([key]);
    h.set(
      Float32Array.from((part?.data ?? []) as Float32Array, (x) => x / weight),
      start,
    );
  }
  return h;
}

function valuesOf({ loss, gradientNorm, eigenvalues, trace, radii }: Sharpness): Record<string, JsonValue> {
  const rises = radii.flatMap(({ radius, uniform, ellipsoid }) => [
    [`rise/${radius}`, uniform.mean] as const,
    [`ellipsoid_rise/${radius}`, ellipsoid.mean] as const,
  ]);
  return {
    ...{ loss, gradient_norm: gradientNorm },
    largest_eigenvalue: eigenvalues.largest[0]?.value ?? null,
    smallest_eigenvalue: eigenvalues.smallest.value,
    ...{ trace: trace.mean, trace_standard_error: trace.standardError },
    ...Object.fromEntries(rises),
  };
}
