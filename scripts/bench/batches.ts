import { readFileSync } from "node:fs";
import type { Feeds } from "../../src/runtime/batch.js";
import { Rng } from "../../src/util/rng.js";

/** The one batch that every contender is given, as nested rows: Python reads it too. */
export interface BatchRows {
  inputs: Record<string, number[][]>;
  labels: number[];
}

/** Random tokens without padding, labels in turn. */
export function makeBatch(
  { batch, sequence, vocabulary }: { batch: number; sequence: number; vocabulary: number },
  inputs: readonly string[],
): BatchRows {
  const rng = new Rng(0, "benchmark batch");
  const fill = (name: string): number =>
    name === "input_ids" ? 5 + rng.int(vocabulary - 5) : name === "attention_mask" ? 1 : 0;
  return {
    inputs: Object.fromEntries(
      inputs.map((name) => [
        name,
        Array.from({ length: batch }, () => Array.from({ length: sequence }, () => fill(name))),
      ]),
    ),
    labels: Array.from({ length: batch }, (_, i) => i % 2),
  };
}

export const readBatch = (file: string): Feeds => feedsOf(JSON.parse(readFileSync(file, "utf8")) as BatchRows);

export function feedsOf({ inputs, labels }: BatchRows): Feeds {
  const int64 = (values: readonly number[], dims: readonly number[]) =>
    ({ dtype: "int64", dims, data: BigInt64Array.from(values, BigInt) }) as const;
  const feeds = Object.entries(inputs).map(
    ([name, rows]) => [name, int64(rows.flat(), [rows.length, rows[0]?.length ?? 0])] as const,
  );
  return { feeds: { ...Object.fromEntries(feeds), labels: int64(labels, [labels.length]) } };
}
