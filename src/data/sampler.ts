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
  #seed: number;
  #epoch = 0;
  #position = 0;
  #order: Int32Array | null = null;

  /** `size`: the number of examples. */
  constructor(size: number, options: SamplerOptions) {
    const { batchSize, shuffle = false, seed = 0, dropLast = false } = options;
    check(size > 0, "the data set is empty");
    check(Number.isInteger(batchSize) && batchSize > 0, `batch size ${batchSize}: expected a whole number from 1 up`);
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

  state(): JsonValue {
    return { size: this.#size, seed: this.#seed, epoch: this.#epoch, position: this.#position };
  }

  restore(state: JsonValue): void {
    const saved = typeof state === "object" && state !== null && !Array.isArray(state) ? state : {};
    const { size, seed, epoch, position } = saved;
    check(
      typeof seed === "number" && isCount(size) && isCount(epoch) && isCount(position) && position <= size,
      "the checkpoint's position in the data is damaged: expected size, seed, epoch and position",
    );
    check(
      size === this.#size,
      `the checkpoint was made on a data set of ${size} examples; this one has ${this.#size}; give the same data`,
    );
    this.#seed = seed;
    this.#epoch = epoch;
    this.#position = position;
    this.#order = null;
  }

  #currentOrder(): Int32Array {
    this.#order ??= this.#shuffle
      ? new Rng(this.#seed, "shuffle", this.#epoch).permutation(this.#size)
      : Int32Array.from({ length: this.#size }, (_, i) => i);
    return this.#order;
  }
}

const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;
