import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { patch } from "../../src/pack/patch.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { Rng } from "../../src/util/rng.js";
import { root } from "../../test/support/root.js";

/** The optimizers that are checked on a GPU, by the name of their package's folder. */
export const optimizers = { adamw: "none", sam: "sam", curvsam: "curvsam" } as const;
export type OptimizerName = keyof typeof optimizers;

/** The folder of an optimizer's package in mixed precision. */
export const mixedName = (optimizer: string): string => `${optimizer}-mixed`;

const batches = 8;
const [rows, tokens] = [4, 16];
const vocabulary = 5000;

/** Batches of random tokens as nested rows: Python reads them too. */
export interface BatchFile {
  inputs: Record<string, number[][]>;
  labels: number[];
}

/**
 * Writes a package of models/roberta-mini for each optimizer, and the batches that they are trained on, to `out`. Labels
 * say whether the first token is odd, which can be learnt.
 */
export async function writeModels(out: string): Promise<void> {
  mkdirSync(out, { recursive: true });
  for (const [name, ascent] of Object.entries(optimizers)) {
    for (const precision of ["float32", "mixed"] as const) {
      const folder = precision === "mixed" ? mixedName(name) : name;
      await patch(join(root, "models", "roberta-mini", "model.onnx"), join(out, folder), {
        loss: { kind: "cross-entropy", logits: "logits" },
        optimizer: ascent,
        base: "adamw",
        hyper: { lr: 1e-3 },
        precision,
        force: true,
      });
    }
  }
  const made = Array.from({ length: batches }, (_, i): BatchFile => {
    const rng = new Rng(0, "batch", i);
    const filled = (fill: () => number) => Array.from({ length: rows }, () => Array.from({ length: tokens }, fill));
    const ids = filled(() => 5 + rng.int(vocabulary - 5));
    const labels = ids.map(([first = 0]) => first % 2);
    return { inputs: { input_ids: ids, attention_mask: filled(() => 1) }, labels };
  });
  writeFileSync(join(out, "batches.json"), JSON.stringify(made));
}

/** The batches beside the packages in `folder`. */
export function readBatches(folder: string): Feeds[] {
  const file = JSON.parse(readFileSync(join(folder, "batches.json"), "utf8")) as BatchFile[];
  return file.map(({ inputs, labels }) => {
    const ids = Object.entries(inputs).map(([name, values]) => {
      const dims = [values.length, values[0]?.length ?? 0];
      return [name, { dtype: "int64", dims, data: BigInt64Array.from(values.flat(), BigInt) }] as const;
    });
    const target = { dtype: "int64", dims: [labels.length], data: BigInt64Array.from(labels, BigInt) } as const;
    return { feeds: { ...Object.fromEntries(ids), labels: target } };
  });
}
