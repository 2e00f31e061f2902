import type { Manifest } from "../format/manifest.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import { must } from "../util/assert.js";
import { sizeOf } from "../util/shape.js";

const prefix = "curvature/";
/** Σ of the weights of an average that starts at 0: what its bias is corrected by. */
const weightName = "state/curvature_weight";

/** How many elements each parameter with a curvature state h has, by its name; null where the package has none. */
export function curvatureTensors({ state, parameters }: Manifest): Record<string, number> | null {
  const names = Object.keys(state).flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));
  if (names.length === 0) return null;
  return Object.fromEntries(names.map((name) => [name, sizeOf(must(parameters[name], name).shape)]));
}

/**
 * The mean of h over each parameter's elements, with the bias of a start at zero corrected. Tensors are read one at a time: together
 * they are as large as the model.
 */
export async function meanCurvature(runtime: PackageRuntime): Promise<Record<string, number>> {
  const read = async (name: string): Promise<ArrayLike<number | bigint>> =>
    must((await runtime.read([name]))[name], name).data;
  const weight = weightName in runtime.manifest.state ? Number((await read(weightName))[0]) : 1;
  const means: Record<string, number> = {};
  for (const name of Object.keys(curvatureTensors(runtime.manifest) ?? {})) {
    const h = await read(prefix + name);
    let sum = 0;
    for (let i = 0; i < h.length; i++) sum += Number(h[i]);
    means[name] = Number((sum / h.length / (weight || 1)).toPrecision(5));
  }
  return means;
}
