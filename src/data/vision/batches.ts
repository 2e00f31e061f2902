import { check } from "../../util/assert.js";
import type { JsonValue } from "../../util/json.js";
import type { Batch, BatchSource } from "../batch.js";
import { Sampler, type SamplerOptions } from "../sampler.js";
import type { ImageSet } from "./images.js";
import type { BatchPool } from "./pool.js";
import { makeBatch, type Recipe } from "./recipe.js";

export interface ImageBatchOptions extends SamplerOptions {
  /** The images to go through; default: all. */
  examples?: Int32Array | undefined;
  /** Worker threads that make batches ahead; default: each batch is made when it is asked for. */
  pool?: BatchPool | undefined;
}

interface Pending {
  batch: Promise<Batch> | null;
  /** The state once it is given out. */
  after: JsonValue;
}

/**
 * Batches of images. Random numbers are keyed by the seed, the epoch and the image, so a batch is the same whoever makes it and whenever;
 * the state to save is the sampler's position, and does not count what was made ahead.
 */
export class ImageBatches implements BatchSource {
  private readonly sampler: Sampler;
  private readonly examples: Int32Array;
  private readonly pool: BatchPool | undefined;
  private readonly pending: Pending[] = [];
  private current: JsonValue;

  constructor(
    private readonly set: ImageSet,
    private readonly recipe: Recipe,
    { examples, pool, ...sampling }: ImageBatchOptions,
  ) {
    check(set.labels.length > 0, `${set.path}: there are no images`);
    this.examples = examples ?? Int32Array.from(set.labels.keys());
    this.pool = pool;
    this.sampler = new Sampler(this.examples.length, sampling);
    this.current = this.position();
  }

  get batchesPerEpoch(): number {
    return this.sampler.batchesPerEpoch;
  }

  async next(): Promise<Batch | null> {
    const ahead = this.pool?.depth ?? 0;
    while (this.pending.length <= ahead) this.pending.push(this.request());
    const { batch, after } = this.pending.shift() ?? this.request();
    this.current = after;
    return batch;
  }

  state(): JsonValue {
    return this.current;
  }

  restore(state: JsonValue): void {
    const { augmentation = {} } = typeof state === "object" && state !== null && !Array.isArray(state) ? state : {};
    const [saved, own] = [JSON.stringify(augmentation), JSON.stringify(this.recipe.augmentation)];
    check(saved === own, `the checkpoint's images were augmented by ${saved}, these are by ${own}; use the same`);
    this.sampler.restore(state);
    this.pending.length = 0;
    this.current = this.position();
  }

  private request(): Pending {
    const { place } = this.sampler;
    const positions = this.sampler.next();
    if (!positions) return { batch: null, after: this.position() };
    const task = { rows: positions.map((i) => this.examples[i] ?? 0), place };
    const batch = this.pool?.make(task) ?? makeBatch(this.set, this.recipe, task);
    // The error is reported by the call that would have used the batch.
    batch.catch(() => undefined);
    return { batch, after: this.position() };
  }

  private position(): JsonValue {
    const state = this.sampler.state() as Record<string, JsonValue>;
    return { ...state, augmentation: { ...this.recipe.augmentation } as Record<string, JsonValue> };
  }
}
