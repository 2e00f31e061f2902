import type { Manifest } from "../format/manifest.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import { must } from "../util/assert.js";
import { sizeOf } from "../util/shape.js";

const prefix = "curvature/";
const weightName = "state/curvature_weight";

/** How many elements each parameter with a curvature state h has, by its name; null where the package has none. */
export function curvatureTensors({ state, parameters }: Manifest): Record<string, number> | null {
  const names = Object.keys(state).flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));
  if (names.length === 0) return null;
  return Object.fromEntries(names.map((name) => [name, sizeOf(must(parameters[name], name).shape)]));
}

/** What h is to be divided by: 1 − βⁿ after n refreshes where it started at 0, else 1. */
export async function curvatureWeight(runtime: PackageRuntime): Promise<number> {
  if (!(weightName in runtime.manifest.state)) return 1;
  const { [weightName]: weight } = await runtime.read([weightName]);
  return Number(weight?.data[0] ?? 0) || 1;
}

/**
 * The mean of h over each parameter's elements, with the bias of a start at zero corrected. Tensors are read one at a time: together
 * they are as large as the model.
 */
export async function meanCurvature(runtime: PackageRuntime): Promise<Record<string, number>> {
  const weight = await curvatureWeight(runtime);
  const means: Record<string, number> = {};
  for (const name of Object.keys(curvatureTensors(runtime.manifest) ?? {})) {
    const h = must((await runtime.read([prefix + name]))[prefix + name], name).data;
    let sum = 0;
    for (let i = 0; i < h.length; i++) sum += Number(h[i]);
    means[name] = Number((sum / h.length / weight).toPrecision(5));
  }
  return means;
}
