import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { SafetensorsFile } from "../format/safetensors.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import { allocate, bytesOf, type HostTensor } from "../runtime/tensors.js";
import { UserError } from "../util/assert.js";
import { onFile, writeAll, writeAtomically } from "../util/files.js";
import { sizeOf } from "../util/shape.js";

/** How text files are read; `train` keeps it in the run's folder, so that `eval` reads alike without being told. */
const settingsSchema = z.object({
  tokenizer: z.string(),
  text: z.string(),
  pair: z.string().optional(),
  label: z.array(z.string()).optional(),
  labelNames: z.array(z.string()).optional(),
  maxLength: z.int().positive(),
});
export type DataSettings = z.output<typeof settingsSchema>;

/** The files of one training run; by default in the package's own folder `run`. */
export class RunFolder {
  readonly path: string;
  readonly weights: string;
  readonly checkpoints: string;
  readonly log: string;
  private readonly settings: string;

  constructor(packageFolder: string, path?: string) {
    this.path = path ?? join(packageFolder, "run");
    this.weights = join(this.path, "weights.safetensors");
    this.checkpoints = join(this.path, "checkpoints");
    this.log = join(this.path, "log.jsonl");
    this.settings = join(this.path, "data.json");
  }

  /** The trained weights, if there are any. */
  get trained(): string | undefined {
    return existsSync(this.weights) ? this.weights : undefined;
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
    const bytes = Buffer.from(`${JSON.stringify(settings, null, 2)}\n`);
    writeAtomically(this.settings, (fd) => writeAll(fd, bytes));
  }
}

/** Puts the weights in `file` into `runtime`. */
export async function loadWeights(runtime: PackageRuntime, file: string): Promise<void> {
  const values = SafetensorsFile.using(file, (weights) => {
    const read: Record<string, HostTensor> = {};
    for (const [name, { dtype, shape }] of weights.entries) {
      const data = allocate(dtype, sizeOf(shape), `${file}: "${name}"`);
      weights.readInto(name, bytesOf(data));
      read[name] = { dtype, dims: shape, data };
    }
    return read;
  });
  await runtime.write(values);
}
