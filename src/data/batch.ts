import type { DType } from "../util/dtype.js";
import type { JsonValue } from "../util/json.js";
import type { Shape } from "../util/shape.js";

export type FeedData = BigInt64Array | Float32Array | Float64Array | Int32Array | Uint8Array;

/** An input of the model, as a package's manifest lists it. `source`: the source model's name where it was renamed. */
export interface InputSpec {
  dtype: DType;
  shape: Shape;
  source?: string | undefined;
}

/** A dense tensor on its way into a graph: `data` holds the elements of `dims` in row-major order. */
export interface Feed {
  dtype: DType;
  dims: number[];
  data: FeedData;
}

/** What one micro-batch feeds a graph, by the names of the graph's inputs; `size` counts the examples. */
export interface Batch {
  size: number;
  feeds: Record<string, Feed>;
}

/**
 * Batches of one epoch after another. `next` gives null once at the end of each epoch, and the call after that opens the
 * next one. `state` may be taken between any two calls; `restore` of it goes on with exactly the batches that would have followed.
 */
export interface BatchSource {
  readonly batchesPerEpoch: number;
  next(): Promise<Batch | null>;
  state(): JsonValue;
  restore(state: JsonValue): void;
}
