import { check } from "../util/assert.js";
import type { DType } from "../util/dtype.js";
import type { Feed, FeedData } from "./batch.js";

const makeData: Partial<Record<DType, (size: number) => FeedData>> = {
  int64: (size) => new BigInt64Array(size),
  int32: (size) => new Int32Array(size),
  float32: (size) => new Float32Array(size),
  float64: (size) => new Float64Array(size),
  bool: (size) => new Uint8Array(size),
};

/** A tensor whose elements are the numbers that `fill` sets. */
export function makeFeed(
  name: string,
  dtype: DType,
  dims: number[],
  fill: (set: (index: number, value: number) => void) => void,
): Feed {
  const data = makeData[dtype]?.(dims.reduce((n, d) => n * d, 1));
  check(data !== undefined, `input "${name}" is ${dtype}; data fills int64, int32, float32, float64 and bool`);
  fill(data instanceof BigInt64Array ? (i, value) => (data[i] = BigInt(value)) : (i, value) => (data[i] = value));
  return { dtype, dims, data };
}
