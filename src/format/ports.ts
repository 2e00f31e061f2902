import { check, UserError } from "../util/assert.js";
import type { DType } from "../util/dtype.js";
import type { Dim } from "../util/shape.js";
import type { Manifest } from "./manifest.js";

/** What an input of a package's graph is. */
export type InputRole = "input" | "target" | "parameter" | "state" | "hyper" | "random" | "phase";

export interface GraphInput {
  readonly name: string;
  readonly dtype: DType;
  /** Numbers, or names of dynamic dimensions. */
  readonly shape: readonly Dim[];
}

/** Values that one phase hands to another: each has its parameter's shape. */
const phasePrefixes = ["grad/", "hvp/", "perturbed/", "perturbed_grad/"] as const;

/** The manifest's word on the graph input `name`, or undefined where it has none. */
export function describeInput(manifest: Manifest, name: string): (GraphInput & { role: InputRole }) | undefined {
  const spec = <T extends { dtype: DType; shape: readonly Dim[] }>(role: InputRole, port: T) => ({
    name,
    role,
    dtype: port.dtype,
    shape: port.shape,
  });
  const own = <T>(record: Record<string, T>, key: string): T | undefined =>
    Object.hasOwn(record, key) ? record[key] : undefined;
  const { inputs, targets, parameters, state, hyper, random, handed } = manifest;
  const input = own(inputs, name);
  if (input) return spec("input", input);
  const target = own(targets, name);
  if (target) return spec("target", target);
  const parameter = own(parameters, name);
  if (parameter) return spec("parameter", parameter);
  const held = own(state, name);
  if (held) return spec("state", held);
  if (own(hyper, name)) return spec("hyper", { dtype: "float32", shape: [] });
  const drawn = own(random, name);
  if (drawn) return spec("random", drawn);
  const between = own(handed, name);
  if (between) return spec("phase", between);
  if (name === "loss_weight") return spec("phase", { dtype: "float32", shape: [] });
  for (const prefix of phasePrefixes) {
    const of = name.startsWith(prefix) ? own(parameters, name.slice(prefix.length)) : undefined;
    if (of) return spec("phase", of);
  }
  return undefined;
}

const write = (dtype: DType, shape: readonly Dim[]): string => `${dtype}[${shape.join(",")}]`;

/**
 * Refuses a graph whose inputs the manifest does not know or describes otherwise, naming the field. Dimensions agree
 * where both are numbers and equal; a name on either side agrees with everything, as the runtime renames some.
 */
export function checkGraphInputs(manifest: Manifest, file: string, inputs: readonly GraphInput[]): void {
  for (const { name, dtype, shape } of inputs) {
    const expected = describeInput(manifest, name);
    if (!expected) {
      throw new UserError(`${file}: input "${name}" is not in manifest.json; the file is not of this package`);
    }
    const agrees =
      expected.dtype === dtype &&
      expected.shape.length === shape.length &&
      expected.shape.every((d, i) => typeof d === "string" || typeof shape[i] === "string" || d === shape[i]);
    check(
      agrees,
      `${file}: ${expected.role} "${name}" is ${write(dtype, shape)}; ${write(expected.dtype, expected.shape)} in manifest.json`,
    );
  }
}
