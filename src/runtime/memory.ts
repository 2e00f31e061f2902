import type { Manifest } from "../format/manifest.js";
import { byteLength } from "../util/dtype.js";
import { sizeOf } from "../util/shape.js";

/** Bytes of parameters and state, twice what a step renews. */
export function heldBytes({ parameters, state }: Manifest): number {
  const bytes = ({ dtype, shape }: Manifest["state"][string] | Manifest["parameters"][string]): number =>
    byteLength(dtype, sizeOf(shape));
  const weights = Object.values(parameters).reduce((sum, p) => sum + bytes(p) * (p.trainable ? 2 : 1), 0);
  return Object.values(state).reduce((sum, s) => sum + 2 * bytes(s), weights);
}

/** Bytes of every parameter and state tensor that steps renew, once. */
export const renewedBytes = (manifest: Manifest, names: Iterable<string>): number => {
  let sum = 0;
  for (const name of names) {
    const spec = manifest.parameters[name] ?? manifest.state[name];
    if (spec) sum += byteLength(spec.dtype, sizeOf(spec.shape));
  }
  return sum;
};
