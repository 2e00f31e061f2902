import type { PackageRuntime } from "../runtime/runtime.js";
import type { Evaluation } from "../train/evaluate.js";
import type { Context } from "./context.js";
import { counted, metricsText } from "./format.js";
import { runtimeOptions, type RuntimeFlags } from "./options.js";
import type { RunFolder } from "./run.js";

/** What is evaluated, and with which weights. */
export interface EvaluateFlags extends RuntimeFlags {
  data: string;
  /** The run whose weights are taken; default: the one in the package. */
  run?: string | undefined;
  /** Weights or a checkpoint in their place. */
  weights?: string | undefined;
  json?: true;
}

/** Evaluates the package in `folder` on what `open` opens, and prints loss and metrics. */
export async function evaluatePackage(
  context: Context,
  folder: string,
  { data, run: named, weights: given, json, ...runtimeFlags }: EvaluateFlags,
  open: (runtime: PackageRuntime, run: RunFolder) => Promise<Evaluation>,
): Promise<void> {
  const [{ RunFolder, loadWeights, weightsAt }, { PackageRuntime }, { evaluateAll }] = await Promise.all([
    import("./run.js"),
    import("../runtime/runtime.js"),
    import("../train/evaluate.js"),
  ]);
  const run = new RunFolder(folder, named);
  const trained = run.weightsToTake(named !== undefined && given === undefined);
  const weights = given === undefined ? trained : await weightsAt(given);
  const runtime = await PackageRuntime.open(folder, runtimeOptions(runtimeFlags));
  try {
    const evaluation = await open(runtime, run);
    if (weights !== undefined) await loadWeights(runtime, weights);
    const summary = await evaluateAll(runtime, evaluation, context.signal);
    if (!summary) return;
    const { loss, examples: count, metrics, confusion } = summary;
    if (json) {
      return context.printJson({
        ...{ data, weights: weights ?? null, examples: count, loss, metrics },
        ...(confusion && { confusion }),
      });
    }
    const origin = weights ?? "the package's own weights";
    context.print(`${data}: ${counted(count, "example")}, ${origin}: ${metricsText({ loss, ...metrics })}`);
  } finally {
    await runtime.close();
  }
}
