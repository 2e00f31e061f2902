import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { patch } from "../../src/pack/patch.js";
import { check } from "../../src/util/assert.js";
import { root } from "../../test/support/root.js";
import { appendJsonLines, readJsonLines } from "../json_lines.js";
import type { Taken } from "./taken.js";

/** Measured points in a file of JSON lines: what is there is not measured again, so that a script goes on where it was stopped. */
export class Points<T extends object> {
  private readonly known = new Map<string, T>();

  constructor(private readonly file: string) {
    mkdirSync(dirname(file), { recursive: true });
    for (const point of readJsonLines<T & { key: string }>(file)) this.known.set(point.key, point);
  }

  get(key: string): T | undefined {
    return this.known.get(key);
  }

  /** Measures the point `key` unless it is known. */
  async measure(key: string, make: () => T | Promise<T>): Promise<void> {
    if (this.known.has(key)) return;
    process.stderr.write(`${key}\n`);
    const point = await make();
    appendJsonLines(this.file, [{ key, ...point }]);
    this.known.set(key, point);
  }
}

/** An encoder with random weights, of a configuration that scripts/export_hf.py exports. */
export interface Encoder {
  name: string;
  config: Readonly<Record<string, string | number>>;
}

export interface Optimizer {
  ascent: "none" | "sam" | "curvsam";
  base: "sgd" | "adamw";
  recompute?: boolean;
}

/** The model's ONNX file in the folder `work`, exported by `python` where it is not there. */
export function exported({ name, config }: Encoder, work: string, python: string): string {
  const folder = join(work, name);
  const model = join(folder, "model.onnx");
  if (existsSync(model)) return model;
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "case.json");
  writeFileSync(file, JSON.stringify(config));
  const args = [join(root, "scripts", "export_hf.py"), "--config", file, "--out", folder, "--mode", "train"];
  execFileSync(python, args, { stdio: ["ignore", "ignore", "inherit"] });
  check(existsSync(model), `${model}: the export is not there`);
  return model;
}

/** The package of `model` with this optimizer, beside it; the curvature is refreshed at every step. */
export async function packaged(model: string, { ascent, base, recompute = false }: Optimizer): Promise<string> {
  const folder = join(dirname(model), [ascent, base, ...(recompute ? ["recompute"] : [])].join("-"));
  if (existsSync(folder)) return folder;
  await patch(model, folder, {
    ...{ loss: { kind: "cross-entropy" }, optimizer: ascent, base, recompute, hyper: { lr: 1e-4 } },
    ...(ascent === "curvsam" && { optimizerOptions: { frequency: 1 } }),
  });
  return folder;
}

export interface Steps {
  batch: number;
  sequence: number;
  count: number;
  driver?: "fused" | "phases";
  /** Whether graphs are lowered, as `curvsam train` does. */
  lowered?: boolean;
}

/** Takes steps in a process of their own. */
export function takeSteps(folder: string, { batch, sequence, count, driver = "fused", lowered = true }: Steps): Taken {
  const script = join(root, "build", "scripts", "scale", "step_process.js");
  const args = [script, folder, `${batch}x${sequence}`, String(count), driver, ...(lowered ? ["lowered"] : [])];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as Taken;
}
