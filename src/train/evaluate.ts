import type { Batch, BatchSource } from "../data/batch.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import type { HostTensor } from "../runtime/tensors.js";
import { check } from "../util/assert.js";

/** The outputs of one batch of an evaluation. */
export interface EvaluatedBatch {
  batch: Batch;
  outputs: Readonly<Record<string, HostTensor>>;
}

/** Computes an evaluation's metrics from all of its batches. */
export interface Measure {
  (batches: readonly EvaluatedBatch[]): Record<string, number>;
  /** The names of the metrics, where they are known beforehand: then a wrong name is refused before training starts. */
  readonly metrics?: readonly string[];
  /** The confusion matrix, where there are classes: examples of class i that were taken for class j, `[i][j]`. */
  readonly confusion?: (batches: readonly EvaluatedBatch[]) => number[][];
}

/** What to evaluate on. */
export interface Evaluation {
  /** Read for one epoch each time. */
  source: BatchSource;
  measure?: Measure | undefined;
}

export interface EvaluationSummary {
  /** Σ loss / Σ weight over the whole set, not a mean of batch means. */
  loss: number;
  examples: number;
  metrics: Record<string, number>;
  /** Examples of class i that were taken for class j, `[i][j]`; null where the measure has none. */
  confusion: number[][] | null;
}

/** Evaluates one epoch of the source, in evaluation mode. `signal` stops it between batches: null is returned. */
export async function evaluateAll(
  runtime: PackageRuntime,
  { source, measure }: Evaluation,
  signal?: AbortSignal,
): Promise<EvaluationSummary | null> {
  let sum = 0;
  let weight = 0;
  let examples = 0;
  const evaluated: EvaluatedBatch[] = [];
  for (;;) {
    const batch = await source.next();
    if (!batch) break;
    if (signal?.aborted) {
      // The source is read to its end, so that the next evaluation starts at the beginning.
      while (await source.next());
      return null;
    }
    const result = await runtime.evaluate(batch);
    sum += result.lossSum;
    weight += result.lossWeight;
    examples += batch.size;
    if (measure) evaluated.push({ batch, outputs: result.outputs });
  }
  check(examples > 0, "there is nothing to evaluate on: the data set is empty");
  return {
    ...{ loss: sum / weight, examples },
    metrics: measure?.(evaluated) ?? {},
    confusion: measure?.confusion?.(evaluated) ?? null,
  };
}

/** The elements of output (or target) `name` of every batch, one after another, as numbers. */
export function gather(batches: readonly EvaluatedBatch[], name: string): Float64Array {
  const parts = batches.map(({ batch, outputs }) => {
    const tensor = outputs[name] ?? batch.feeds[name];
    check(tensor, `an evaluation has no output or input "${name}"`);
    return tensor.data;
  });
  const all = new Float64Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    for (const value of part) all[at++] = Number(value);
  }
  return all;
}
