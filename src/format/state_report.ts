import { join } from "node:path";
import { byteLength } from "../util/dtype.js";
import { sizeOf } from "../util/shape.js";
import { weightsFile, type Manifest, type StateSpec } from "./manifest.js";
import { SafetensorsFile } from "./safetensors.js";

/** One kind of what a package trains: its parameters, or a kind of the optimizer's state over all parameters. */
export interface KindReport {
  kind: string;
  tensors: number;
  elements: number;
  bytes: number;
  /** Of the elements: root mean square, smallest and largest; null where no file tells. */
  values: { rms: number; min: number; max: number; finite: boolean } | null;
}

export interface PackageReport {
  folder: string;
  tool: string;
  source: string;
  optimizer: { ascent: string; combine: string; base: string; estimator: string | null };
  schedule: { graph: string; every: number }[];
  refreshes: { graph: string; every: number; offset: number }[];
  hyper: Record<string, number>;
  parameters: { trainable: number; frozen: number };
  /** The file that the values are of: a saved state, or the package's own weights. */
  values: string;
  /** Steps taken, where the file is a saved state. */
  step: number | null;
  kinds: KindReport[];
}

/** `adam_m/encoder.weight` → `adam_m`; buffers and scalars go by what they are. */
const kindOf = (name: string, { init }: StateSpec): string =>
  "tensor" in init ? "running statistics" : name.startsWith("state/") ? name : (name.split("/")[0] ?? name);

/** What the package in `folder` trains and keeps, with the values of `state`, a saved state, or of its own weights. */
export function reportPackage(folder: string, manifest: Manifest, state?: string): PackageReport {
  const { optimizer, parameters } = manifest;
  const path = state ?? join(folder, weightsFile);
  return SafetensorsFile.using(path, (file) => {
    const kinds = new Map<string, { name: string; bytes: number; elements: number }[]>();
    const add = (kind: string, name: string, dtype: StateSpec["dtype"], shape: readonly number[]): void => {
      const elements = sizeOf(shape);
      kinds.set(kind, [...(kinds.get(kind) ?? []), { name, elements, bytes: byteLength(dtype, elements) }]);
    };
    for (const [name, { dtype, shape, trainable }] of Object.entries(parameters)) {
      add(trainable ? "trained parameters" : "frozen parameters", name, dtype, shape);
    }
    for (const [name, spec] of Object.entries(manifest.state)) add(kindOf(name, spec), name, spec.dtype, spec.shape);
    const step = file.metadata.get("step");
    const trainable = Object.values(parameters).filter((p) => p.trainable).length;
    const { ascent, combine, base, estimator } = optimizer;
    return {
      ...{ folder, tool: manifest.tool, source: manifest.source.file },
      optimizer: { ascent, combine, base, estimator },
      schedule: manifest.schedule.map(({ graph, every }) => ({ graph, every })),
      refreshes: manifest.refreshes,
      hyper: Object.fromEntries(
        Object.entries(manifest.hyper).map(([name, h]) => [name.slice("hyper/".length), h.default]),
      ),
      parameters: { trainable, frozen: Object.keys(parameters).length - trainable },
      ...{ values: path, step: step === undefined ? null : Number(step) },
      kinds: [...kinds].map(([kind, members]) => ({
        ...{ kind, tensors: members.length },
        elements: members.reduce((n, m) => n + m.elements, 0),
        bytes: members.reduce((n, m) => n + m.bytes, 0),
        values: valuesOf(
          file,
          members.map((m) => m.name),
        ),
      })),
    };
  });
}

/** Statistics of the tensors `names` of a file; null where it lacks one, or holds something that is not a float. */
function valuesOf(file: SafetensorsFile, names: readonly string[]): KindReport["values"] {
  let [squares, count, min, max, finite] = [0, 0, Infinity, -Infinity, true];
  for (const name of names) {
    const entry = file.entries.get(name);
    if (entry?.dtype !== "float32" && entry?.dtype !== "float64") return null;
    const { buffer, byteOffset, byteLength: size } = file.bytes(name).slice();
    const data =
      entry.dtype === "float32"
        ? new Float32Array(buffer, byteOffset, size / 4)
        : new Float64Array(buffer, byteOffset, size / 8);
    for (const x of data) {
      squares += x * x;
      if (x < min) min = x;
      if (x > max) max = x;
      if (!Number.isFinite(x)) finite = false;
    }
    count += data.length;
  }
  return count === 0 ? null : { rms: Math.sqrt(squares / count), min, max, finite };
}
