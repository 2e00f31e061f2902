import { Tensor } from "../ir/tensor.js";
import type { DType } from "../util/dtype.js";
import { sizeOf } from "../util/shape.js";

/** An element: a bigint of an integer or boolean dtype, a number of a floating-point one, null where it is not known. */
export type Element = bigint | number | null;

/** A small tensor whose elements are known at least in part. */
export interface Small {
  dtype: DType;
  dims: readonly number[];
  data: readonly Element[];
}

const integers = new Set<DType>(["int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"]);
export const isInteger = (dtype: DType): boolean => integers.has(dtype);
export const isFoldable = (dtype: DType): boolean => isInteger(dtype) || dtype === "float32" || dtype === "float64";

/** `x` as `dtype` holds it: integers wrap, float32 rounds. */
export function fit(dtype: DType, x: bigint | number): bigint | number {
  if (!isInteger(dtype)) return dtype === "float32" ? Math.fround(Number(x)) : Number(x);
  if (dtype === "bool") return BigInt(x ? 1 : 0);
  const bits = Number(dtype.replace(/\D/g, ""));
  const integer = typeof x === "bigint" ? x : BigInt(Math.trunc(x));
  return dtype.startsWith("u") ? BigInt.asUintN(bits, integer) : BigInt.asIntN(bits, integer);
}

export const small = (dtype: DType, dims: readonly number[], data: readonly Element[]): Small => ({
  dtype,
  dims,
  data: data.map((x) => (x === null ? null : fit(dtype, x))),
});

export function fromTensor(t: Tensor): Small {
  if (t.dtype === "int64" || t.dtype === "uint64") {
    const bytes = t.bytes();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return small(
      t.dtype,
      t.dims,
      Array.from({ length: t.size }, (_, i) => view.getBigInt64(8 * i, true)),
    );
  }
  return small(t.dtype, t.dims, t.numbers());
}

/** The tensor, where every element is known. */
export function toTensor(s: Small): Tensor | null {
  if (s.data.includes(null)) return null;
  if (s.dtype === "int64" || s.dtype === "uint64") {
    const data = BigInt64Array.from(s.data as bigint[], (x) => BigInt.asIntN(64, x));
    return new Tensor(s.dtype, s.dims, { bytes: new Uint8Array(data.buffer) });
  }
  return Tensor.of(s.dtype, s.dims, s.data.map(Number));
}

/** Row-major strides, 0 where `dims` is broadcast against a result of `rank` dimensions. */
export function strides(dims: readonly number[], rank: number): number[] {
  const result = Array<number>(rank).fill(0);
  let step = 1;
  for (let i = dims.length - 1; i >= 0; i--) {
    const d = dims[i] ?? 1;
    result[rank - dims.length + i] = d === 1 ? 0 : step;
    step *= d;
  }
  return result;
}

/** Calls `visit` with the coordinates of every element of `dims`, in row-major order. */
export function* coordinates(dims: readonly number[]): Generator<readonly number[]> {
  const at = Array<number>(dims.length).fill(0);
  for (let n = sizeOf(dims); n > 0; n--) {
    yield at;
    for (let i = dims.length - 1; i >= 0; i--) {
      at[i] = (at[i] ?? 0) + 1;
      if ((at[i] ?? 0) < (dims[i] ?? 0)) break;
      at[i] = 0;
    }
  }
}

/** A view by index: element `at` of the result is element `offset(at)` of `s`. */
export function pick(s: Small, dims: readonly number[], offset: (at: readonly number[]) => number): Small {
  return { dtype: s.dtype, dims, data: Array.from(coordinates(dims), (at) => s.data[offset(at)] ?? null) };
}

/** The static shape that shapes broadcast to; null when they do not. */
export function broadcastDims(all: readonly (readonly number[])[]): number[] | null {
  const rank = Math.max(0, ...all.map((d) => d.length));
  const result = Array<number>(rank).fill(1);
  for (const dims of all) {
    for (let i = 1; i <= dims.length; i++) {
      const d = dims[dims.length - i] ?? 1;
      const r = result[rank - i] ?? 1;
      if (d !== r && d !== 1 && r !== 1) return null;
      if (r === 1) result[rank - i] = d;
    }
  }
  return result;
}

export function expandTo(s: Small, dims: readonly number[]): Small {
  const step = strides(s.dims, dims.length);
  return pick(s, dims, (at) => at.reduce((sum, x, i) => sum + x * (step[i] ?? 0), 0));
}
