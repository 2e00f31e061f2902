/** Quantized numbers, q = round(x/s) + z within the range of their type: what the operators that make and read them share. */
import { tensorType, type Node } from "../ir/graph.js";
import { isFloat, type DType } from "../util/dtype.js";
import { freshDim, normalizeAxis } from "../util/shape.js";
import * as e from "./emit.js";

/** Largest finite numbers of the small floating-point types. */
const largest: Partial<Record<DType, number>> = {
  float8e4m3fn: 448,
  float8e4m3fnuz: 240,
  float8e5m2: 57344,
  float8e5m2fnuz: 57344,
  float4e2m1: 6,
};

/** Least and largest number of a quantized type. */
export function rangeOf(dtype: DType): [number, number] {
  const top = largest[dtype];
  if (top !== undefined || isFloat(dtype)) return [-(top ?? Infinity), top ?? Infinity];
  const bits = Number(/\d+$/.exec(dtype)?.[0] ?? 8);
  return dtype.startsWith("u") ? [0, 2 ** bits - 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
}

/** A scale or zero point as it meets `x`: one number, one for each index of an axis, or one for each block along it. */
export function spread(b: e.B, node: Node, v: e.V, x: e.V): e.V {
  const rank = x.dims.length;
  const axis = normalizeAxis(node.int("axis", 1), rank);
  const block = node.int("block_size", 0);
  if (v.dims.length === 0 || (v.dims.length === 1 && v.dims[0] === 1)) return v;
  if (block === 0) {
    const others = x.dims.map((_, i) => i).filter((i) => i !== axis);
    return others.length > 0 ? e.unsqueeze(b, v, others) : v;
  }
  // Each of the blocks as often as it has elements; the last may have fewer.
  const places = e.rangeTo(b, e.squeeze(b, e.dimOf(b, x, axis), [0]));
  const repeated = e.gather(b, v, e.div(b, places, b.scalar(block, "int64")), axis);
  return repeated.dims.every((d, i) => d === x.dims[i])
    ? repeated
    : e.reshapeTo(
        b,
        repeated,
        e.shapeOf(b, repeated),
        tensorType(
          v.dtype,
          v.dims.map((d, i) => (i === axis ? freshDim() : d)),
        ),
      );
}

/** A zero point in the dtype of `like`, as it meets `x`; null where it is none. */
export const zeroPoint = (b: e.B, node: Node, v: e.V | null | undefined, x: e.V, like: e.V): e.V | null =>
  v ? spread(b, node, e.cast(b, v, like.dtype), x) : null;

/** 1 where x/s rounds to a number within the range of the type, else 0. */
export function inRange(b: e.B, ratio: e.V, zero: e.V | null, dtype: DType): e.V {
  const [low, high] = rangeOf(dtype);
  const rounded = b.op("Round", [ratio]);
  const q = zero ? e.add(b, rounded, zero) : rounded;
  const inside = e.and(
    b,
    e.greaterOrEqual(b, q, e.scalarLike(b, low, q)),
    e.lessOrEqual(b, q, e.scalarLike(b, high, q)),
  );
  return e.cast(b, inside, ratio.dtype);
}
