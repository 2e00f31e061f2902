import { readFileSync } from "node:fs";
import type { Feeds } from "../../src/runtime/batch.js";
import { Rng } from "../../src/util/rng.js";

type Rows = number | readonly Rows[];

/** The one batch that every contender is given, as nested rows: Python reads it too. */
export interface BatchRows {
  inputs: Record<string, Rows[]>;
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

/** Images of noise, [batch, 3, size, size], to four digits; labels in turn. */
export function makeImages({ batch, size, classes }: { batch: number; size: number; classes: number }): BatchRows {
  const rng = new Rng(0, "benchmark batch");
  const row = (): number[] => {
    const pixels = new Float32Array(size);
    rng.fillNormal(pixels);
    return Array.from(pixels, (x) => Number(x.toFixed(4)));
  };
  const images = Array.from({ length: batch }, () =>
    Array.from({ length: 3 }, () => Array.from({ length: size }, row)),
  );
  return { inputs: { x: images }, labels: Array.from({ length: batch }, (_, i) => i % classes) };
}

export const readBatch = (file: string): Feeds => feedsOf(JSON.parse(readFileSync(file, "utf8")) as BatchRows);

/** Tensors of the rows: int64 of tokens, float32 of pixels. */
export function feedsOf({ inputs, labels }: BatchRows): Feeds {
  const feeds = Object.entries({ ...inputs, labels }).map(([name, rows]) => {
    const dims = dimsOf(rows);
    const values = flattened(rows);
    const feed = values.every(Number.isInteger)
      ? ({ dtype: "int64", dims, data: BigInt64Array.from(values, BigInt) } as const)
      : ({ dtype: "float32", dims, data: Float32Array.from(values) } as const);
    return [name, feed] as const;
  });
  return { feeds: Object.fromEntries(feeds) };
}

const dimsOf = (rows: Rows): number[] => (typeof rows === "number" ? [] : [rows.length, ...dimsOf(rows[0] ?? 0)]);

const flattened = (rows: Rows): number[] => (typeof rows === "number" ? [rows] : rows.flatMap(flattened));
