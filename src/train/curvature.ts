import type { Manifest } from "../format/manifest.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import { must } from "../util/assert.js";
import { sizeOf } from "../util/shape.js";

/**
 * What optimizers keep of the Hessian's diagonal, a tensor `<kind>/<parameter>` each: the scalar that says what it is to be divided by, and
 * whether it is an average of squares.
 */
const kinds = {
  curvature: { weight: "state/curvature_weight", squared: false },
  adahessian_v: { weight: "state/adahessian_c2", squared: true },
  sassha_v: { weight: "state/sassha_c2", squared: false },
} as const;
export type CurvatureKind = keyof typeof kinds;

/** The parameters that have a state of this kind. */
const parametersOf = ({ state }: Manifest, kind: CurvatureKind): string[] =>
  Object.keys(state).flatMap((name) => (name.startsWith(`${kind}/`) ? [name.slice(kind.length + 1)] : []));

/** The kinds of curvature that the package keeps: CurvSAM's h, v of AdaHessian or SASSHA. */
export const curvatureKinds = (manifest: Manifest): CurvatureKind[] =>
  (Object.keys(kinds) as CurvatureKind[]).filter((kind) => parametersOf(manifest, kind).length > 0);

/** How many elements each parameter with a curvature state has, by its name; null where the package has none. */
export function curvatureElements(manifest: Manifest): Record<string, number> | null {
  const names = curvatureKinds(manifest).flatMap((kind) => parametersOf(manifest, kind));
  if (names.length === 0) return null;
  return Object.fromEntries(names.map((name) => [name, sizeOf(must(manifest.parameters[name], name).shape)]));
}

/** What the state is to be divided by: 1 − βⁿ after n refreshes where it started at 0, else 1. */
export async function curvatureWeight(runtime: PackageRuntime, kind: CurvatureKind = "curvature"): Promise<number> {
  const { weight: name } = kinds[kind];
  if (!(name in runtime.manifest.state)) return 1;
  const { [name]: weight } = await runtime.read([name]);
  return Number(weight?.data[0] ?? 0) || 1;
}

/**
 * The mean of h, of AdaHessian's √v or of SASSHA's v over each parameter's elements, with the bias of a start at zero corrected. Tensors
 * are read one at a time: together they are as large as the model.
 */
export async function meanCurvature(runtime: PackageRuntime, kind: CurvatureKind): Promise<Record<string, number>> {
  const weight = await curvatureWeight(runtime, kind);
  const { squared } = kinds[kind];
  const means: Record<string, number> = {};
  for (const parameter of parametersOf(runtime.manifest, kind)) {
    const name = `${kind}/${parameter}`;
    const { data } = must((await runtime.read([name]))[name], name);
    let sum = 0;
    for (const value of data) {
      const x = Number(value) / weight;
      sum += squared ? Math.sqrt(x) : x;
    }
    means[parameter] = Number((sum / data.length).toPrecision(5));
  }
  return means;
}
