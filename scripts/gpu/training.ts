import { readManifest } from "../../src/format/manifest.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { Engine } from "../../src/runtime/engine.js";
import { feedsOf, prepareBatch } from "../../src/runtime/feeder.js";
import { PackageGraphs } from "../../src/runtime/graphs.js";
import { resolveOptions } from "../../src/runtime/options.js";
import { RandomInputs } from "../../src/runtime/random.js";
import { Store } from "../../src/runtime/store.js";
import { must } from "../../src/util/assert.js";
import { observed, type Placement } from "./placement.js";

export interface TrainingResult {
  /** ‖g − g′‖/‖g‖ of the gradients of all parameters, and the same of the Hessian-vector products; null where there are none. */
  gradientError: number | null;
  hvpError: number | null;
  /** The losses of the steps. */
  cpu: number[];
  gpu: number[];
  /** Largest |ℓ − ℓ′|/|ℓ|. */
  lossError: number;
  /** Where the nodes of the fused graphs ran. */
  placement: Placement;
}

/** Of every run that is compared. */
export const seed = 1;

/** The vectors that a phase gives on the package's first weights, in one row. */
async function vectorsOf(folder: string, provider: string, phase: string, batch: Feeds, kind: string) {
  const manifest = readManifest(folder);
  const graphs = new PackageGraphs(folder, manifest, resolveOptions({ provider }));
  if (!graphs.has(phase)) return null;
  const graph = await graphs.get(phase);
  const store = new Store(folder, manifest);
  const feeds = feedsOf(graph, {
    batch: prepareBatch(manifest, batch),
    moment: { step: 0, attempt: 0, micro: 0 },
    hyper: {},
    random: new RandomInputs(manifest, seed),
    manifest,
    held: (name) => store.current(name),
  });
  const names = [...graph.outputs].filter((name) => name.startsWith(`${kind}/`)).sort();
  const results = await graph.run(feeds, Object.fromEntries([...graph.outputs].map((name) => [name, null])));
  const values = names.map((name) => must(results[name], name).data as Float32Array);
  await graphs.release();
  return values;
}

function relativeError(got: readonly Float32Array[] | null, expected: readonly Float32Array[] | null): number | null {
  if (!got || !expected) return null;
  let [difference, size] = [0, 0];
  for (const [k, values] of expected.entries()) {
    for (const [i, x] of values.entries()) {
      difference += ((got[k]?.[i] ?? NaN) - x) ** 2;
      size += x ** 2;
    }
  }
  return Math.sqrt(difference / size);
}

/** The losses of `steps` steps from the package's weights; NaN where one was skipped. */
export async function lossesOf(
  folder: string,
  provider: string,
  steps: number,
  batches: readonly Feeds[],
): Promise<number[]> {
  const engine = await Engine.open(folder, { provider, seed });
  const losses: number[] = [];
  for (let t = 0; t < steps; t++) {
    const { diagnostics, wasSkipped } = await engine.step([must(batches[t % batches.length], "a batch")]);
    losses.push(wasSkipped ? NaN : must(diagnostics["loss"], "loss"));
  }
  await engine.close();
  return losses;
}

/** Largest |ℓ − ℓ′|/|ℓ|; NaN where one is. */
export const largestDifference = (got: readonly number[], expected: readonly number[]): number =>
  Math.max(...expected.map((loss, t) => Math.abs((got[t] ?? NaN) - loss) / Math.abs(loss)));

/** Trains the package in `folder` on the CPU and on `provider`, from the same weights on the same batches and random numbers. */
export async function compareTraining(
  folder: string,
  provider: string,
  steps: number,
  batches: readonly Feeds[],
): Promise<TrainingResult> {
  const first = must(batches[0], "a batch");
  const errorOf = async (phase: string, kind: string) =>
    relativeError(
      await vectorsOf(folder, provider, phase, first, kind),
      await vectorsOf(folder, "cpu", phase, first, kind),
    );
  const gradientError = await errorOf("gradient", "grad");
  const hvpError = await errorOf("hvp", "hvp");
  const cpu = await lossesOf(folder, "cpu", steps, batches);
  const { value: gpu, placement } = await observed(() => lossesOf(folder, provider, steps, batches));
  return { gradientError, hvpError, cpu, gpu, lossError: largestDifference(gpu, cpu), placement };
}
