import { sha256Of } from "../util/hash.js";
import type { Manifest } from "./manifest.js";

/** What a saved state is of: the optimizer with the options that shape it, and the model. Kept in the metadata of its file. */
export function identityOf(manifest: Manifest): Record<string, string> {
  const { optimizer, source } = manifest;
  const { ascent, combine, base, parts } = optimizer;
  return {
    optimizer: JSON.stringify({ ascent, combine, base }),
    options: JSON.stringify(parts ?? {}),
    model: source.sha256,
    parameters: sha256Of(JSON.stringify(shapesOf(manifest))),
  };
}

const shapesOf = ({ parameters }: Manifest): [string, string][] =>
  Object.entries(parameters)
    .map(([name, { dtype, shape, trainable }]): [string, string] => [
      name,
      `${dtype}[${shape.join(",")}] ${String(trainable)}`,
    ])
    .sort(([a], [b]) => (a < b ? -1 : 1));

/** How the state with this metadata differs from what the package trains, or null; states of before it was kept agree. */
export function identityProblem(metadata: ReadonlyMap<string, string>, manifest: Manifest): string | null {
  const own = identityOf(manifest);
  const differs = (key: keyof typeof own): boolean => metadata.has(key) && metadata.get(key) !== own[key];
  const read = (text: string | undefined): Record<string, unknown> => {
    try {
      return JSON.parse(text ?? "{}") as Record<string, unknown>;
    } catch {
      return {};
    }
  };
  if (differs("optimizer")) {
    const [there, here] = [read(metadata.get("optimizer")), read(own["optimizer"])];
    return `it is the state of ${nameOf(there)}, the package has ${nameOf(here)}`;
  }
  if (differs("options")) {
    const [there, here] = [flat(read(metadata.get("options"))), flat(read(own["options"]))];
    const changed = [...new Set([...there.keys(), ...here.keys()])].filter((k) => there.get(k) !== here.get(k));
    const list = changed.map((k) => `${k} is ${there.get(k) ?? "not set"} there and ${here.get(k) ?? "not set"} here`);
    return `its optimizer has other options: ${list.join(", ")}`;
  }
  if (differs("parameters")) return "it is the state of a model with other parameters, or with others of them frozen";
  return differs("model") ? "it is the state of another model file, though its parameters are called alike" : null;
}

const nameOf = ({ ascent, combine, base }: Record<string, unknown>): string =>
  `${String(ascent)}, ${String(combine)}, over ${String(base)}`;

/** `curvsam.frequency` → `5`. */
function flat(parts: Record<string, unknown>): Map<string, string> {
  const entries = Object.entries(parts).flatMap(([part, options]) =>
    Object.entries(options as Record<string, unknown>).map(
      ([name, v]) => [`${part}.${name}`, JSON.stringify(v)] as const,
    ),
  );
  return new Map(entries);
}
