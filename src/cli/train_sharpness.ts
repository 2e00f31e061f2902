import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import type { BatchSource } from "../data/batch.js";
import type { EngineOptions } from "../runtime/options.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import type { Callbacks } from "../train/options.js";
import { UsageError } from "./failure.js";
import { integer, numbers } from "./parse.js";

/** The options about sharpness of every command that trains. */
export interface SharpnessFlags {
  sharpnessEvery?: number;
  sharpnessBatches?: number;
  sharpnessRho?: number[];
}

export const addSharpnessOptions = (command: Command): Command =>
  command
    .option(
      "--sharpness-every <n>",
      "steps between measurements of top eigenvalue, trace and sharpness (default: none)",
      integer({ min: 1 }),
    )
    .option("--sharpness-batches <n>", "batches of the training data to measure on (default: 2)", integer({ min: 1 }))
    .option("--sharpness-rho <x,…>", "radii to measure at (default: 0.05)", numbers({ min: 0, above: true }));

export function refuseIdleSharpness({ sharpnessEvery, sharpnessBatches, sharpnessRho }: SharpnessFlags): void {
  if (sharpnessEvery !== undefined) return;
  const given = { "--sharpness-batches": sharpnessBatches, "--sharpness-rho": sharpnessRho };
  for (const [flag, value] of Object.entries(given)) {
    if (value !== undefined) throw new UsageError(`${flag} belongs to --sharpness-every, which is missing`);
  }
}

/** The callbacks that these options ask for, on the first batches of `source`, and how to end them. */
export async function openSharpness(
  runtime: PackageRuntime,
  source: BatchSource,
  flags: SharpnessFlags,
  engine: EngineOptions,
): Promise<{ callbacks: Callbacks[]; close: () => Promise<void> }> {
  const { sharpnessEvery: every, sharpnessBatches: count = 2, sharpnessRho: radii } = flags;
  if (every === undefined) return { callbacks: [], close: () => Promise.resolve() };
  const [{ writeSurface }, { LossSurface }, { sharpnessCallback }, { floorOf }] = await Promise.all([
    import("../pack/surface.js"),
    import("../analysis/surface.js"),
    import("../analysis/callback.js"),
    import("./run.js"),
  ]);
  const batches = [];
  for (let batch = await source.next(); batch && batches.length < count; batch = await source.next())
    batches.push(batch);
  const { folder, manifest, seed } = runtime;
  const temporary = mkdtempSync(join(tmpdir(), "curvsam-sharpness-"));
  try {
    const surface = await LossSurface.open(folder, await writeSurface(folder, manifest, temporary), batches, engine);
    const floor = floorOf(manifest);
    const options = { every, seed, ...(radii && { radii }), ...(floor !== undefined && { floor }) };
    return { callbacks: [sharpnessCallback(surface, runtime, options)], close: () => surface.close() };
  } finally {
    // Sessions hold their graphs in memory.
    rmSync(temporary, { recursive: true, force: true });
  }
}
