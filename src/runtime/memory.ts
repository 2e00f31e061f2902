import type { Manifest } from "../format/manifest.js";
import { byteLength } from "../util/dtype.js";
import { sizeOf } from "../util/shape.js";

/** The most bytes of new values that a phase gives in one run, where it can be taken apart. */
export const partBytes = 1 << 28;

/** Bytes of the parameter, state or handed tensor `name`; 0 where the manifest has none of that name. */
export function bytesOfTensor({ parameters, state, handed }: Manifest, name: string): number {
  const spec = [parameters, state, handed].find((specs) => Object.hasOwn(specs, name))?.[name];
  return spec ? byteLength(spec.dtype, sizeOf(spec.shape)) : 0;
}

/** Bytes of every tensor of these names, once. */
export function bytesOfTensors(manifest: Manifest, names: Iterable<string>): number {
  let sum = 0;
  for (const name of names) sum += bytesOfTensor(manifest, name);
  return sum;
}

/**
 * The buffer that phases hand the value `<kind>/<parameter>` on in, where it is one that stands idle while the value lives: the
 * descent, which ends the life of both, writes the new parameters where the perturbed ones were, and the second gradient comes
 * when the HVP has done its part. Null: the value has one of its own. `isRead` tells what the descent reads.
 */
export function borrowedBuffer(
  kind: string,
  parameter: string,
  isRead: (name: string) => boolean,
): "next" | "hvp" | null {
  if (kind === "perturbed" && !isRead(`perturbed/${parameter}`)) return "next";
  if (kind === "perturbed_grad" && !isRead(`hvp/${parameter}`)) return "hvp";
  return null;
}

/** Bytes of parameters and state, as they are when a package is open. */
export const openBytes = (manifest: Manifest): number =>
  bytesOfTensors(manifest, [...Object.keys(manifest.parameters), ...Object.keys(manifest.state)]);

/** Bytes of parameters and state that steps renew. */
export function renewedBytes(manifest: Manifest): number {
  const trainable = Object.entries(manifest.parameters).flatMap(([name, p]) => (p.trainable ? [name] : []));
  return bytesOfTensors(manifest, [...trainable, ...Object.keys(manifest.state)]);
}

/** Bytes of parameters and state, twice what a step renews. */
export const heldBytes = (manifest: Manifest): number => openBytes(manifest) + renewedBytes(manifest);
