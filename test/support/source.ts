import type { Batch, BatchSource } from "../../src/data/batch.js";
import { Sampler } from "../../src/data/sampler.js";
import type { JsonValue } from "../../src/util/json.js";
import { features, logisticBatch } from "./logistic.js";

/** Shuffled batches of `size` examples of the logistic rule. */
export class LogisticSource implements BatchSource {
  private readonly all;
  private readonly sampler: Sampler;
  /** Called with the number of each batch: may change it, or throw. */
  onBatch: (batch: Batch, index: number) => void = () => undefined;
  private given = 0;

  constructor(
    size: number,
    batchSize: number,
    options: { shuffle?: boolean; key?: string; groupByLength?: number } = {},
  ) {
    this.all = logisticBatch(size, options.key ?? "set").feeds;
    const { shuffle = true, groupByLength = 0 } = options;
    this.sampler = new Sampler(size, { batchSize, shuffle, seed: 4, groupByLength }, (row) => (row * 7) % 13);
  }

  get batchesPerEpoch(): number {
    return this.sampler.batchesPerEpoch;
  }

  async next(): Promise<Batch | null> {
    await Promise.resolve();
    const rows = this.sampler.next();
    if (!rows) return null;
    const x = new Float32Array(rows.length * features);
    rows.forEach((row, i) => x.set(this.all.x.data.subarray(row * features, (row + 1) * features), i * features));
    const labels = Float32Array.from(rows, (row) => this.all.labels.data[row]!);
    const batch: Batch = {
      size: rows.length,
      feeds: {
        x: { dtype: "float32", dims: [rows.length, features], data: x },
        labels: { dtype: "float32", dims: [rows.length], data: labels },
      },
    };
    this.onBatch(batch, this.given++);
    return batch;
  }

  state(): JsonValue {
    return this.sampler.state();
  }

  restore(state: JsonValue): void {
    this.sampler.restore(state);
  }
}
