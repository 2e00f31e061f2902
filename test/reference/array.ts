/** Float64 arrays, and the index arithmetic that the reference operators share. */
import type { Tensor } from "../../src/ir/tensor.js";
import { isFloat, type DType } from "../../src/util/dtype.js";
import { normalizeAxis, sizeOf } from "../../src/util/shape.js";

/** A tensor of any dtype whose elements are float64 numbers; bools are 0 and 1. */
export interface Array64 {
  readonly dims: readonly number[];
  readonly data: Float64Array;
  readonly dtype: DType;
}

export function array(dtype: DType, dims: readonly number[], values: ArrayLike<number>): Array64 {
  if (values.length !== sizeOf(dims)) throw new Error(`${values.length} values for shape [${dims.join(",")}]`);
  return { dtype, dims, data: values instanceof Float64Array ? values : Float64Array.from(values) };
}

export const full = (dtype: DType, dims: readonly number[], value: number): Array64 =>
  array(dtype, dims, new Float64Array(sizeOf(dims)).fill(value));

export const scalar = (x: number, dtype: DType = "float64"): Array64 => array(dtype, [], [x]);

export const ofTensor = (t: Tensor): Array64 => array(t.dtype, t.dims, t.numbers());

export const withDims = (x: Array64, dims: readonly number[]): Array64 => array(x.dtype, dims, x.data);

/** Elements as plain numbers: for shapes, axes and other arguments. */
export const numbersOf = (x: Array64): number[] => Array.from(x.data);

/** The integer that a dtype would hold for `x`: integers wrap around, floats stay. */
export function wrap(dtype: DType, x: number): number {
  if (isFloat(dtype)) return x;
  if (dtype === "bool") return x !== 0 ? 1 : 0;
  const match = /^(u?)int(\d+)$/.exec(dtype);
  if (!match || match[2] === "64") return x;
  const size = 2 ** Number(match[2]);
  const low = ((x % size) + size) % size;
  return match[1] === "" && low >= size / 2 ? low - size : low;
}

export function stridesOf(dims: readonly number[]): number[] {
  const strides = Array<number>(dims.length).fill(1);
  for (let i = dims.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * dims[i + 1]!;
  return strides;
}

/** Flat offsets of every element of a grid, in row-major order of `dims`. */
export function grid(dims: readonly number[], strides: readonly number[], base = 0): Int32Array {
  const out = new Int32Array(sizeOf(dims));
  if (out.length === 0) return out;
  out[0] = base;
  let filled = 1;
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    for (let i = 1; i < dims[axis]!; i++)
      for (let j = 0; j < filled; j++) out[i * filled + j] = out[j]! + i * strides[axis]!;
    filled *= dims[axis]!;
  }
  return out;
}

/** The elements at the offsets of `grid`. */
export function view(x: Array64, dims: readonly number[], strides: readonly number[], base = 0): Array64 {
  return array(x.dtype, dims, take(x.data, grid(dims, strides, base)));
}

export function take(data: Float64Array, offsets: Int32Array): Float64Array {
  const out = new Float64Array(offsets.length);
  for (let i = 0; i < out.length; i++) out[i] = data[offsets[i]!]!;
  return out;
}

export function broadcastDims(...all: (readonly number[])[]): number[] {
  const rank = Math.max(0, ...all.map((d) => d.length));
  return Array.from({ length: rank }, (_, i) => {
    let size = 1;
    for (const dims of all) {
      const d = dims[i - rank + dims.length] ?? 1;
      if (d === 1) continue;
      if (size !== 1 && size !== d)
        throw new Error(`shapes ${all.map((x) => `[${x.join(",")}]`).join(" ")} do not broadcast`);
      size = d;
    }
    return size;
  });
}

export function broadcastTo(x: Array64, dims: readonly number[]): Array64 {
  if (dims.length === x.dims.length && dims.every((d, i) => d === x.dims[i])) return x;
  broadcastDims(x.dims, dims).forEach((d, i) => {
    if (d !== dims[i]) throw new Error(`[${x.dims.join(",")}] does not broadcast to [${dims.join(",")}]`);
  });
  const own = stridesOf(x.dims);
  const lead = dims.length - x.dims.length;
  return view(
    x,
    dims,
    dims.map((_, i) => (i < lead || x.dims[i - lead] === 1 ? 0 : own[i - lead]!)),
  );
}

export function transpose(x: Array64, perm: readonly number[]): Array64 {
  const strides = stridesOf(x.dims);
  return view(
    x,
    perm.map((p) => x.dims[p]!),
    perm.map((p) => strides[p]!),
  );
}

export const axesOf = (axes: readonly number[], rank: number): number[] => axes.map((a) => normalizeAxis(a, rank));

/** Offsets of the lines of `dims` along `axes`: element j of line i lies at `outer[i] + inner[j]`. */
export function lines(dims: readonly number[], axes: readonly number[]): { outer: Int32Array; inner: Int32Array } {
  const strides = stridesOf(dims);
  const kept = [...dims.keys()].filter((i) => !axes.includes(i));
  const part = (which: readonly number[]): Int32Array =>
    grid(
      which.map((i) => dims[i]!),
      which.map((i) => strides[i]!),
    );
  return { outer: part(kept), inner: part([...axes].sort((a, b) => a - b)) };
}

/** Applies `f` to every line of `x` along `axes`, keeping the shape. */
export function mapLines(x: Array64, axes: readonly number[], f: (line: Float64Array) => ArrayLike<number>): Array64 {
  const { outer, inner } = lines(x.dims, axesOf(axes, x.dims.length));
  const out = new Float64Array(x.data.length);
  const line = new Float64Array(inner.length);
  for (const o of outer) {
    inner.forEach((i, j) => (line[j] = x.data[o + i]!));
    const result = f(line);
    inner.forEach((i, j) => (out[o + i] = result[j]!));
  }
  return array(x.dtype, x.dims, out);
}

/** Reduces every line of `x` along `axes` to a number. */
export function reduceLines(
  x: Array64,
  axes: readonly number[],
  keepdims: boolean,
  f: (line: Float64Array) => number,
  dtype: DType = x.dtype,
): Array64 {
  const which = axesOf(axes, x.dims.length);
  const { outer, inner } = lines(x.dims, which);
  const line = new Float64Array(inner.length);
  const out = Float64Array.from(outer, (o) => {
    for (let j = 0; j < line.length; j++) line[j] = x.data[o + inner[j]!]!;
    return f(line);
  });
  const dims = keepdims
    ? x.dims.map((d, i) => (which.includes(i) ? 1 : d))
    : x.dims.filter((_, i) => !which.includes(i));
  return array(dtype, dims, out);
}

/** The one dtype of `operands`. */
export function sameDType(...operands: readonly (Array64 | null)[]): DType {
  const dtypes = new Set(operands.flatMap((x) => (x ? [x.dtype] : [])));
  if (dtypes.size !== 1) throw new Error(`operands of the dtypes ${[...dtypes].join(", ")}, which must be the same`);
  return [...dtypes][0]!;
}

/** f over broadcast operands. */
export function combine(
  operands: readonly Array64[],
  f: (...xs: number[]) => number,
  dtype: DType = operands[0]!.dtype,
): Array64 {
  const dims = broadcastDims(...operands.map((x) => x.dims));
  const data = operands.map((x) => broadcastTo(x, dims).data);
  const out = new Float64Array(sizeOf(dims));
  if (data.length === 2) {
    const [a, b] = data as [Float64Array, Float64Array];
    for (let i = 0; i < out.length; i++) out[i] = wrap(dtype, f(a[i]!, b[i]!));
  } else for (let i = 0; i < out.length; i++) out[i] = wrap(dtype, f(...data.map((d) => d[i]!)));
  return array(dtype, dims, out);
}

export const map = (x: Array64, f: (x: number) => number, dtype: DType = x.dtype): Array64 =>
  array(
    dtype,
    x.dims,
    x.data.map((v) => wrap(dtype, f(v))),
  );
