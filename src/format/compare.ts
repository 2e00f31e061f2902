import { UserError } from "../util/assert.js";
import type { DType } from "../util/dtype.js";
import { sameShape } from "../util/shape.js";
import type { SafetensorsFile } from "./safetensors.js";

const few = (names: readonly string[]): string =>
  names
    .slice(0, 3)
    .map((name) => `"${name}"`)
    .join(", ") + (names.length > 3 ? ` and ${names.length - 3} more` : "");

/** Refuses a file that lacks one of the tensors `wanted`, or has one in another shape or type, and says what differs. */
export function checkTensors(
  file: SafetensorsFile,
  wanted: Iterable<readonly [name: string, spec: { dtype: DType; shape: readonly number[] }]>,
  what: { are: string; advice: string },
): void {
  const lacks: string[] = [];
  const differs: string[] = [];
  const known = new Set<string>();
  for (const [name, { dtype, shape }] of wanted) {
    known.add(name);
    const entry = file.entries.get(name);
    if (!entry) lacks.push(name);
    else if (entry.dtype !== dtype || !sameShape(entry.shape, shape)) {
      differs.push(`"${name}" is ${entry.dtype}[${entry.shape.join(",")}], ${dtype}[${shape.join(",")}] expected`);
    }
  }
  if (lacks.length + differs.length === 0) return;
  const extra = [...file.entries.keys()].filter((name) => !known.has(name));
  const parts = [
    ...differs.slice(0, 3),
    ...(differs.length > 3 ? [`${differs.length - 3} more differ`] : []),
    ...(lacks.length > 0 ? [`it lacks ${few(lacks)}`] : []),
    ...(lacks.length > 0 && extra.length > 0 ? [`it has ${few(extra)} beside`] : []),
  ];
  throw new UserError(`${file.path}: ${what.are}: ${parts.join("; ")}; ${what.advice}`);
}

/** For a file of weights. */
export const otherWeights = {
  are: "these are the weights of another model",
  advice: "give those of the model that the package was made from",
};
