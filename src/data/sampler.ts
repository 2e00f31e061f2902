import { check } from "../util/assert.js";
import type { JsonValue } from "../util/json.js";
import { Rng } from "../util/rng.js";

export interface SamplerOptions {
  batchSize: number;
  /** A new order in each epoch (default false: the order of the data). */
  shuffle?: boolean;
  /** Seed of the orders (default 0). */
  seed?: number;
  /** Leave out the last batch of an epoch where it is smaller than the others (default false). */
  dropLast?: boolean;
  /**
   * Batch examples of like length, for less padding: the epoch's order is cut into stretches of so many batches, each stretch sorted by
   * length, and the batches put in random order. Default: off, as it changes which examples meet in a batch.
   */
  groupByLength?: number;
}

/** The seed of the orders, the epoch from 0, and how many of its examples were given out. */
export interface SamplerPlace {
  seed: number;
  epoch: number;
  position: number;
}

/** Examples per stretch of `order`, by length within it; the batches in an order of their own, the one with the longest example first. */
function groupByLength(
  order: Int32Array,
  {
    lengthOf,
    batchSize,
    batches,
    rng,
  }: { lengthOf: (i: number) => number; batchSize: number; batches: number; rng: Rng | null },
): Int32Array {
  // What does not fill a batch stays at the end, so that a position in the epoch says all.
  const full = order.length - (order.length % batchSize);
  const sorted: Int32Array[] = [];
  for (let start = 0; start < full; start += batches * batchSize) {
    const stretch = Array.from(order.subarray(start, Math.min(full, start + batches * batchSize)));
    const lengths = new Map(stretch.map((i) => [i, lengthOf(i)]));
    stretch.sort((a, b) => (lengths.get(b) ?? 0) - (lengths.get(a) ?? 0));
    for (let at = 0; at < stretch.length; at += batchSize)
      sorted.push(Int32Array.from(stretch.slice(at, at + batchSize)));
  }
  const shuffled = rng ? Array.from(rng.permutation(sorted.length), (k) => sorted[k] ?? new Int32Array()) : sorted;
  const longest = ([first]: Int32Array): number => (first === undefined ? 0 : lengthOf(first));
  // Memory that does not suffice shows at the first step of an epoch, not in the middle of it.
  const head = shuffled.reduce((best, batch, k) => (longest(batch) > longest(shuffled[best] ?? batch) ? k : best), 0);
  const result = [...shuffled.splice(head, 1), ...shuffled, order.subarray(full)];
  return Int32Array.from(result.flatMap((batch) => Array.from(batch)));
}

/**
 * Which examples each batch holds. The order of an epoch is drawn from a stream of its own, keyed by seed and epoch, so the
 * state to save is a position: seed, epoch, and the examples already given out.
 */
export class Sampler {
  readonly batchesPerEpoch: number;
  readonly #size: number;
  readonly #batchSize: number;
  readonly #shuffle: boolean;
  readonly #end: number;
  readonly #groupByLength: number;
  readonly #lengthOf: (i: number) => number;
  #seed: number;
  #epoch = 0;
  #position = 0;
  #order: Int32Array | null = null;

  /** `size`: the number of examples; `lengthOf` an example is what `groupByLength` goes by. */
  constructor(size: number, options: SamplerOptions, lengthOf: (i: number) => number = () => 0) {
    const { batchSize, shuffle = false, seed = 0, dropLast = false, groupByLength = 0 } = options;
    check(size > 0, "the data set is empty");
    check(Number.isInteger(batchSize) && batchSize > 0, `batch size ${batchSize}: expected a whole number from 1 up`);
    check(
      Number.isInteger(groupByLength) && groupByLength >= 0,
      `grouping by length within ${groupByLength} batches: expected a whole number from 1 up, or 0 for none`,
    );
    this.#groupByLength = groupByLength;
    this.#lengthOf = lengthOf;
    this.#size = size;
    this.#batchSize = batchSize;
    this.#shuffle = shuffle;
    this.#seed = seed;
    this.batchesPerEpoch = dropLast ? Math.floor(size / batchSize) : Math.ceil(size / batchSize);
    check(
      this.batchesPerEpoch > 0,
      `${size} examples do not fill one batch of ${batchSize}; use a smaller batch, or keep the last batch`,
    );
    this.#end = Math.min(size, this.batchesPerEpoch * batchSize);
  }

  /** The examples of the next batch; null once at the end of each epoch. */
  next(): Int32Array | null {
    if (this.#position >= this.#end) {
      this.#epoch++;
      this.#position = 0;
      this.#order = null;
      return null;
    }
    const stop = Math.min(this.#position + this.#batchSize, this.#end);
    const batch = this.#currentOrder().slice(this.#position, stop);
    this.#position = stop;
    return batch;
  }

  /** Which batch comes next: what is drawn for it can be keyed by that, and needs no state of its own. */
  get place(): SamplerPlace {
    return { seed: this.#seed, epoch: this.#epoch, position: this.#position };
  }

  state(): JsonValue {
    return {
      ...{ size: this.#size, seed: this.#seed, epoch: this.#epoch, position: this.#position },
      ...(this.#groupByLength > 0 && { groupByLength: this.#groupByLength, batchSize: this.#batchSize }),
    };
  }

  restore(state: JsonValue): void {
    const saved = typeof state === "object" && state !== null && !Array.isArray(state) ? state : {};
    const { size, seed, epoch, position, groupByLength = 0, batchSize = this.#batchSize } = saved;
    check(
      typeof seed === "number" && isCount(size) && isCount(epoch) && isCount(position) && position <= size,
      "the checkpoint's position in the data is damaged: expected size, seed, epoch and position",
    );
    check(
      size === this.#size,
      `the checkpoint was made on a data set of ${size} examples; this one has ${this.#size}; give the same data`,
    );
    check(
      groupByLength === this.#groupByLength,
      () =>
        `the checkpoint's batches were ${shown(groupByLength)}, these are ${shown(this.#groupByLength)}; use the same`,
    );
    check(
      groupByLength === 0 || batchSize === this.#batchSize,
      `the checkpoint's batches, grouped by length, hold ${JSON.stringify(batchSize)} examples, these ${this.#batchSize}; use the same`,
    );
    this.#seed = seed;
    this.#epoch = epoch;
    this.#position = position;
    this.#order = null;
  }

  #currentOrder(): Int32Array {
    return (this.#order ??= this.#makeOrder());
  }

  #makeOrder(): Int32Array {
    const order = this.#shuffle
      ? new Rng(this.#seed, "shuffle", this.#epoch).permutation(this.#size)
      : Int32Array.from({ length: this.#size }, (_, i) => i);
    if (this.#groupByLength === 0) return order;
    return groupByLength(order, {
      lengthOf: this.#lengthOf,
      batchSize: this.#batchSize,
      batches: this.#groupByLength,
      rng: this.#shuffle ? new Rng(this.#seed, "batches", this.#epoch) : null,
    });
  }
}

const shown = (groupByLength: unknown): string =>
  groupByLength === 0 ? "not grouped by length" : `grouped by length within ${JSON.stringify(groupByLength)}`;

const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;
