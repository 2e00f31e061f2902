import type { Examples } from "../../data/examples.js";
import { TextBatches } from "../../data/text_batches.js";
import type { Tokenizer } from "../../data/tokenizer.js";
import type { Manifest } from "../../format/manifest.js";
import type { PackageRuntime } from "../../runtime/runtime.js";
import {
  evaluateAll,
  gather,
  type EvaluatedBatch,
  type EvaluationSummary,
  type Measure,
} from "../../train/evaluate.js";
import { confusionMatrix } from "../../train/metrics.js";
import { check, must } from "../../util/assert.js";
import { glueMetrics, predictionsOf } from "./metrics.js";
import type { GlueTask } from "./tasks.js";

/** The output that the task is decided by. */
function logitsOf({ loss, outputs }: Manifest): string {
  const name = loss.logits ?? (Object.keys(outputs).length === 1 ? Object.keys(outputs)[0] : undefined);
  return must(name, "the logits of the package");
}

/** Refuses a package whose head or loss is not of the task's kind. */
export function checkHead(manifest: Manifest, task: GlueTask): void {
  const wanted = task.labels ? "cross-entropy" : "mse";
  const { kind } = manifest.loss;
  check(
    kind === wanted,
    `${task.title} takes a ${wanted} loss, the package has ${kind}; patch the model with --loss ${wanted}`,
  );
  const size = manifest.outputs[logitsOf(manifest)]?.shape.at(-1);
  const count = task.labels?.length ?? 1;
  check(
    typeof size !== "number" || size === count,
    `${task.title} has ${task.labels ? `the ${count} classes ${task.labels.join(", ")}` : "one score"}, ` +
      `the model's head has ${String(size)} outputs; export it with ${count} labels`,
  );
}

/** Batches of a task's part, labelled or not. */
export function batchesOf(
  manifest: Manifest,
  examples: Examples,
  tokenizer: Tokenizer,
  options: { batchSize: number; shuffle?: boolean; seed?: number },
): TextBatches {
  return new TextBatches(examples, tokenizer, manifest.inputs, examples.labels ? manifest.targets : {}, options);
}

/** The task's metrics of an evaluation, and the confusion matrix of its classes. */
export function measureOf(manifest: Manifest, task: GlueTask): Measure {
  const logits = logitsOf(manifest);
  const [labels] = Object.keys(manifest.targets);
  const truth = (batches: readonly EvaluatedBatch[]): Float64Array => gather(batches, must(labels, "labels"));
  const classes = task.labels?.length;
  return Object.assign(
    (batches: readonly EvaluatedBatch[]) => glueMetrics(task, gather(batches, logits), truth(batches)),
    classes !== undefined && {
      confusion: (batches: readonly EvaluatedBatch[]) =>
        confusionMatrix(predictionsOf(task, gather(batches, logits)), truth(batches), classes),
    },
  );
}

/** The loss and the metrics on a labelled part; null where the user stopped it. */
export function evaluatePart(
  runtime: PackageRuntime,
  task: GlueTask,
  source: TextBatches,
  signal: AbortSignal,
): Promise<EvaluationSummary | null> {
  return evaluateAll(runtime, { source, measure: measureOf(runtime.manifest, task) }, signal);
}

/** Class ids or scores of every example, in order; null where the user stopped it. */
export async function predictPart(
  runtime: PackageRuntime,
  task: GlueTask,
  source: TextBatches,
  signal: AbortSignal,
): Promise<number[] | null> {
  const name = logitsOf(runtime.manifest);
  const all: number[] = [];
  for (let batch = await source.next(); batch; batch = await source.next()) {
    if (signal.aborted) return null;
    const outputs = await runtime.forward(batch);
    all.push(...Array.from(must(outputs[name], name).data, Number));
  }
  return Array.from(predictionsOf(task, all));
}
