import { readManifest } from "../../src/format/manifest.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { Engine } from "../../src/runtime/engine.js";
import { feedsOf, prepareBatch } from "../../src/runtime/feeder.js";
import { PackageGraphs } from "../../src/runtime/graphs.js";
import { resolveOptions } from "../../src/runtime/options.js";
import { RandomInputs } from "../../src/runtime/random.js";
import { Store } from "../../src/runtime/store.js";
import {
  dynamicLossScale,
  firstLossScale,
  leastLossScale,
  lossScaleHyper,
  nextLossScale,
} from "../../src/train/loss_scale.js";
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

/**
 * In mixed precision, the scale of the loss that comparisons begin with: small enough for Hessian-vector products too. A step that
 * is taken anew has probes of its own, and is no longer the same as on the CPU.
 */
const smallScale = 256;

/** The vectors that a phase gives on the package's first weights, in one row. */
async function vectorsOf(folder: string, provider: string, phase: string, batch: Feeds, kind: string) {
  const manifest = readManifest(folder);
  const hyper = manifest.precision === "mixed" ? { "hyper/loss_scale": smallScale } : {};
  const graphs = new PackageGraphs(folder, manifest, resolveOptions({ provider }));
  if (!graphs.has(phase)) return null;
  const graph = await graphs.get(phase);
  const store = new Store(folder, manifest);
  const feeds = feedsOf(graph, {
    batch: prepareBatch(manifest, batch),
    moment: { step: 0, attempt: 0, micro: 0 },
    hyper,
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

/**
 * The losses of `steps` steps from the package's weights; NaN where one was skipped. In mixed precision a step that overflows is
 * taken anew with half the scale of the loss, as far as 1.
 */
export async function lossesOf(
  folder: string,
  provider: string,
  steps: number,
  batches: readonly Feeds[],
): Promise<number[]> {
  const engine = await Engine.open(folder, { provider, seed });
  const dynamic = dynamicLossScale({ runtime: engine });
  let scale = dynamic && firstLossScale(engine.manifest, { loss_scale: smallScale });
  const losses: number[] = [];
  for (let t = 0; t < steps;) {
    const batch = must(batches[t % batches.length], "a batch");
    const { diagnostics, wasSkipped } = await engine.step([batch], scale ? lossScaleHyper(scale) : {});
    const isLast = !scale || scale.scale <= leastLossScale;
    if (scale && dynamic) scale = nextLossScale(scale, wasSkipped, dynamic);
    if (wasSkipped && !isLast) continue;
    losses.push(wasSkipped ? NaN : must(diagnostics["loss"], "loss"));
    t++;
  }
  await engine.close();
  return losses;
}

/** Largest |ℓ − ℓ′|/|ℓ|; NaN where one is. */
export const largestDifference = (got: readonly number[], expected: readonly number[]): number =>
  Math.max(...expected.map((loss, t) => Math.abs((got[t] ?? NaN) - loss) / Math.abs(loss)));

/**
 * Trains the package in `folder` on the CPU and on `provider`, from the same weights on the same batches and random numbers.
 * `tried`: the package that is trained on the provider, where it is another (in mixed precision).
 */
export async function compareTraining(
  folder: string,
  provider: string,
  steps: number,
  batches: readonly Feeds[],
  tried: string = folder,
): Promise<TrainingResult> {
  const first = must(batches[0], "a batch");
  const errorOf = async (phase: string, kind: string) =>
    relativeError(
      await vectorsOf(tried, provider, phase, first, kind),
      await vectorsOf(folder, "cpu", phase, first, kind),
    );
  const gradientError = await errorOf("gradient", "grad");
  const hvpError = await errorOf("hvp", "hvp");
  const cpu = await lossesOf(folder, "cpu", steps, batches);
  const { value: gpu, placement } = await observed(() => lossesOf(tried, provider, steps, batches));
  return { gradientError, hvpError, cpu, gpu, lossError: largestDifference(gpu, cpu), placement };
}
