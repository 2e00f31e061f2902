import { existsSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { checkTensors, otherWeights } from "../format/compare.js";
import type { Manifest } from "../format/manifest.js";
import { SafetensorsFile } from "../format/safetensors.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import { allocate, bytesOf, type HostTensor } from "../runtime/tensors.js";
import { readCheckpoint, stateFile } from "../train/checkpoints.js";
import { UserError, check } from "../util/assert.js";
import { onFile, writeFileAtomically } from "../util/files.js";
import { sizeOf } from "../util/shape.js";

/** How text files are read; `train` keeps it in the run's folder, so that `eval` reads alike without being told. */
const settingsSchema = z.object({
  tokenizer: z.string(),
  text: z.string(),
  pair: z.string().optional(),
  label: z.array(z.string()).optional(),
  labelNames: z.array(z.string()).optional(),
  header: z.boolean().optional(),
  maxLength: z.int().positive(),
});
export type DataSettings = z.output<typeof settingsSchema>;

/** The files of one training run; by default in the package's own folder `run`. */
export class RunFolder {
  readonly path: string;
  readonly weights: string;
  readonly checkpoints: string;
  readonly log: string;
  /** The package's graphs as this machine's processor runs them fastest. */
  readonly lowered: string;
  /** The training package, where the run made it itself of a model. */
  readonly package: string;
  private readonly settings: string;

  constructor(packageFolder: string, path?: string) {
    this.path = path ?? join(packageFolder, "run");
    this.weights = join(this.path, "weights.safetensors");
    this.checkpoints = join(this.path, "checkpoints");
    this.log = join(this.path, "log.jsonl");
    this.lowered = join(this.path, "lowered");
    this.package = join(this.path, "package");
    this.settings = join(this.path, "data.json");
  }

  /** The trained weights, if there are any. */
  get trained(): string | undefined {
    return existsSync(this.weights) ? this.weights : undefined;
  }

  /** The trained weights; where the user named this run, it must have some. */
  weightsToTake(named: boolean): string | undefined {
    check(
      !named || this.trained !== undefined,
      `${this.path}: no trained weights are there; name a folder that curvsam train wrote`,
    );
    return this.trained;
  }

  /** Removes the folder where nothing of a run is in it: training was refused before its first step. */
  discardUnused(): void {
    const files = existsSync(this.path) ? readdirSync(this.path) : ["nothing to remove"];
    const made = [this.lowered, this.package].map((path) => basename(path));
    if (files.every((name) => made.includes(name))) rmSync(this.path, { recursive: true });
  }

  readSettings(): Partial<DataSettings> {
    if (!existsSync(this.settings)) return {};
    const text = onFile(this.settings, "read", () => readFileSync(this.settings, "utf8"));
    try {
      return settingsSchema.parse(JSON.parse(text));
    } catch {
      throw new UserError(`${this.settings}: it is damaged; remove it, and give the options of the data again`);
    }
  }

  writeSettings(settings: DataSettings): void {
    writeFileAtomically(this.settings, `${JSON.stringify(settings, null, 2)}\n`);
  }
}

/** The weights that a user names: a safetensors file, or a checkpoint's folder, which must be sound. */
export async function weightsAt(path: string): Promise<string> {
  if (!existsSync(path) || !statSync(path).isDirectory()) return path;
  const file = join(path, stateFile);
  check(existsSync(file), `${path}: no checkpoint is there; name a safetensors file or a folder checkpoint-<step>`);
  return (await readCheckpoint(path)).statePath;
}

/** Puts the weights in `file`, parameters and buffers, into `runtime`; what a checkpoint holds beside them is left. */
export async function loadWeights(runtime: PackageRuntime, file: string): Promise<void> {
  const values = SafetensorsFile.using(file, (weights) => {
    const { parameters, state } = runtime.manifest;
    const buffers = Object.entries(state).filter(([, { init }]) => "tensor" in init);
    const wanted = [...Object.entries(parameters), ...buffers];
    checkTensors(weights, wanted, otherWeights);
    const read: Record<string, HostTensor> = {};
    for (const [name, { dtype, shape }] of wanted) {
      const data = allocate(dtype, sizeOf(shape), `${file}: "${name}"`);
      weights.readInto(name, bytesOf(data));
      read[name] = { dtype, dims: shape, data };
    }
    return read;
  });
  await runtime.write(values);
}

/** CurvSAM's floor δ of √h, where the package has one. */
export const floorOf = ({ hyper }: Manifest): number | undefined =>
  Object.entries(hyper).find(([name]) => name.startsWith("hyper/delta"))?.[1].default;

/** CurvSAM's curvature state h over `blocks`, where the file has it: a checkpoint of a package with curvature. */
export function curvatureIn(
  file: string,
  blocks: readonly { name: string; start: number; end: number }[],
): Float32Array | null {
  return SafetensorsFile.using(file, (state) => {
    if (!blocks.every(({ name }) => state.entries.has(`curvature/${name}`))) return null;
    const h = new Float32Array(blocks.at(-1)?.end ?? 0);
    for (const { name, start, end } of blocks) state.readInto(`curvature/${name}`, bytesOf(h.subarray(start, end)));
    return h;
  });
}
