/** The operators that rules emit, as functions: shapes are known where they can be, and static work is done here. */
import {
  ints,
  int,
  float as floatAttribute,
  string as stringAttribute,
  tensorType,
  type Type,
  type Value,
} from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { dtypeCodes, type DType } from "../util/dtype.js";
import {
  freshDim,
  isStatic,
  normalizeAxis,
  reshapeTarget,
  sameShape,
  sizeOf,
  type Dim,
  type Shape,
} from "../util/shape.js";
import type { RuleBuilder } from "./rule.js";
import { reshapedDims } from "./shapes.js";

export type B = RuleBuilder;
export type V = Value;
export type { Constants } from "../ir/builder.js";

export const scalarLike = (b: B, x: number, like: V): V => b.scalar(x, like.dtype);

/** An elementwise operator; an operand that was expanded to the shape of the other one is read as it was before. */
function elementwise(b: B, op: "Add" | "Sub" | "Mul" | "Div", x: V, y: V): V {
  const [first, second] = [unexpanded(x, y), unexpanded(y, x)];
  return first !== x ? b.op(op, [first, y]) : b.op(op, [x, second]);
}

const unexpanded = (x: V, other: V): V =>
  x.producer?.op === "Expand" && sameShape(x.shape, other.shape) ? x.producer.input(0) : x;

export const add = (b: B, x: V, y: V): V => elementwise(b, "Add", x, y);
export const sub = (b: B, x: V, y: V): V => elementwise(b, "Sub", x, y);
export const mul = (b: B, x: V, y: V): V => elementwise(b, "Mul", x, y);
export const div = (b: B, x: V, y: V): V => elementwise(b, "Div", x, y);
export function neg(b: B, x: V): V {
  const scaled = scaling(b, x);
  return scaled ? scale(b, scaled.of, -scaled.factor) : b.op("Neg", [x]);
}
export const exp = (b: B, x: V): V => b.op("Exp", [x]);
export const log = (b: B, x: V): V => b.op("Log", [x]);
export const sqrt = (b: B, x: V): V => b.op("Sqrt", [x]);
export const sign = (b: B, x: V): V => b.op("Sign", [x]);
export const abs = (b: B, x: V): V => b.op("Abs", [x]);
export const tanh = (b: B, x: V): V => b.op("Tanh", [x]);
export const sigmoid = (b: B, x: V): V => b.op("Sigmoid", [x]);
export const sin = (b: B, x: V): V => b.op("Sin", [x]);
export const cos = (b: B, x: V): V => b.op("Cos", [x]);
export const erf = (b: B, x: V): V => b.op("Erf", [x]);
export const reciprocal = (b: B, x: V): V => b.op("Reciprocal", [x]);
export const pow = (b: B, x: V, y: V): V => b.op("Pow", [x, y]);
export const max = (b: B, x: V, y: V): V => b.op("Max", [x, y]);
export const min = (b: B, x: V, y: V): V => b.op("Min", [x, y]);
export const square = (b: B, x: V): V => mul(b, x, x);
/** x · factor, for a plain number; factors of factors are one. */
export function scale(b: B, x: V, factor: number): V {
  const scaled = scaling(b, x);
  const [of, by] = scaled ? [scaled.of, scaled.factor * factor] : [x, factor];
  return by === 1 ? of : mul(b, of, scalarLike(b, by, x));
}

/** v as of · factor, where it is a product with a constant number. */
function scaling(b: B, v: V): { of: V; factor: number } | null {
  if (v.producer?.op !== "Mul") return null;
  const constant = v.producer.input(1);
  const tensor = constant.shape?.length === 0 ? b.constantOf(constant) : undefined;
  return tensor ? { of: v.producer.input(0), factor: tensor.numbers()[0] ?? 1 } : null;
}
/** x + number. */
export const shift = (b: B, x: V, by: number): V => add(b, x, scalarLike(b, by, x));

export const equal = (b: B, x: V, y: V): V => b.op("Equal", [x, y]);
export const less = (b: B, x: V, y: V): V => b.op("Less", [x, y]);
export const greater = (b: B, x: V, y: V): V => b.op("Greater", [x, y]);
export const lessOrEqual = (b: B, x: V, y: V): V => b.op("LessOrEqual", [x, y]);
export const greaterOrEqual = (b: B, x: V, y: V): V => b.op("GreaterOrEqual", [x, y]);
export const isPositive = (b: B, x: V): V => greater(b, x, scalarLike(b, 0, x));
export const not = (b: B, x: V): V => b.op("Not", [x]);
export const and = (b: B, x: V, y: V): V => b.op("And", [x, y]);
export const or = (b: B, x: V, y: V): V => b.op("Or", [x, y]);
export const where = (b: B, condition: V, x: V, y: V): V => b.op("Where", [condition, x, y]);

export const matmul = (b: B, x: V, y: V): V => b.op("MatMul", [x, y]);
export const cast = (b: B, x: V, to: DType): V => (x.dtype === to ? x : b.op("Cast", [x], { to: int(dtypeCodes[to]) }));

export const transpose = (b: B, x: V, perm: readonly number[]): V =>
  perm.every((p, i) => p === i) ? x : b.op("Transpose", [x], { perm: ints(perm) });

/** Swaps the last two axes. */
export function transposeLast(b: B, x: V): V {
  const n = x.dims.length;
  return transpose(b, x, [...Array(n - 2).keys(), n - 1, n - 2]);
}

/** The shape of `x`, int64: a constant where it is static. */
export function shapeOf(b: B, x: V): V {
  return x.shape && isStatic(x.shape) ? b.int64s(x.shape) : b.op("Shape", [x]);
}

/** `x.shape[axis]` as an int64 vector of one element. */
export function dimOf(b: B, x: V, axis: number): V {
  const dims = x.dims;
  const i = normalizeAxis(axis, dims.length);
  const d = dims[i];
  if (typeof d === "number") return b.int64s([d]);
  return b.op("Shape", [x], { start: int(i), end: int(i + 1) }, { types: [tensorType("int64", [1])] });
}

/** Number of elements of `x` along `axes`, as a scalar of the dtype of `x`. */
export function countOf(b: B, x: V, axes: readonly number[]): V {
  const dims: Shape = axes.map((a) => x.dims[normalizeAxis(a, x.dims.length)] ?? 1);
  if (isStatic(dims)) return scalarLike(b, sizeOf(dims), x);
  const sizes = axes.map((a) => dimOf(b, x, a)).reduce((p, q) => mul(b, p, q));
  return cast(b, squeeze(b, sizes, [0]), x.dtype);
}

/** Reshape to dimensions that are numbers, -1 (inferred), symbols of `x`, or 0 for "as in the input at this axis". */
export function reshape(b: B, x: V, dims: readonly Dim[]): V {
  if (sameShape(x.shape, dims)) return x;
  const symbols = dims.filter((d) => typeof d === "string");
  if (symbols.length <= 1 && (symbols.length === 0 || !dims.includes(-1))) {
    const target = dims.map((d) => (typeof d === "string" ? -1 : d));
    return b.op("Reshape", [x, b.int64s(target)], {}, { types: [tensorType(x.dtype, reshapedDims(x.shape, dims))] });
  }
  const parts = dims.map((d) => (typeof d === "string" ? dimOf(b, x, x.dims.indexOf(d)) : b.int64s([d])));
  return b.op("Reshape", [x, concat(b, parts, 0)], {}, { types: [tensorType(x.dtype, reshapedDims(x.shape, dims))] });
}

/** Reshape to a run-time shape whose type the caller knows. */
export const reshapeTo = (b: B, x: V, shape: V, type: Type | null): V =>
  type?.kind === "tensor" && sameShape(x.shape, type.shape) ? x : b.op("Reshape", [x, shape], {}, { types: [type] });

/** `x` reshaped to the shape of `y`, which has as many elements: by a constant where one can say it. */
export function reshapeLike(b: B, x: V, y: V): V {
  const target = x.shape && y.shape ? reshapeTarget(x.shape, y.shape) : null;
  return reshapeTo(b, x, target ? b.int64s(target) : shapeOf(b, y), tensorType(x.dtype, y.shape));
}

export const expand = (b: B, x: V, shape: V, type: Type | null): V => b.op("Expand", [x, shape], {}, { types: [type] });

/** `x` broadcast to the shape of `y`. */
export const expandLike = (b: B, x: V, y: V): V =>
  sameShape(x.shape, y.shape) ? x : expand(b, x, shapeOf(b, y), tensorType(x.dtype, y.shape));

/** Zeros (or another number) of the shape of `y` and a dtype. */
export const fullLike = (b: B, value: number, y: V, dtype: DType = y.dtype): V =>
  expandLike(b, b.scalar(value, dtype), y);

export const unsqueeze = (b: B, x: V, axes: readonly number[]): V => b.op("Unsqueeze", [x, b.int64s(axes)]);
export const squeeze = (b: B, x: V, axes: readonly number[]): V => b.op("Squeeze", [x, b.int64s(axes)]);
export const concat = (b: B, xs: readonly V[], axis: number): V =>
  xs.length === 1 && xs[0] ? xs[0] : b.op("Concat", xs, { axis: int(axis) });

export function reduceSum(b: B, x: V, axes: readonly number[], keepdims = true): V {
  if (axes.length === 0) return x;
  return b.op("ReduceSum", [x, b.int64s(axes)], { keepdims: int(keepdims ? 1 : 0) });
}

/**
 * Sum of every element, a scalar: row by row, then over the rows. A float32 total that is run up over millions of elements
 * loses three of its digits.
 */
export const sumAll = (b: B, x: V): V => total(b, "ReduceSum", x);

/** Sum of every element's square, a scalar, as `sumAll`. */
export const sumSquares = (b: B, x: V): V => total(b, "ReduceSumSquare", x);

/** Up to so many elements one running sum is exact enough; a dimension that is not known yet is taken for `usualSize`. */
const fewElements = 4096;
const usualSize = 64;

function total(b: B, op: "ReduceSum" | "ReduceSumSquare", x: V): V {
  const { shape } = x;
  const size = sizeOf((shape ?? []).map((d) => (typeof d === "number" ? d : usualSize)));
  if (!shape || shape.length < 2 || size <= fewElements) return b.op(op, [x], { keepdims: int(0) });
  const within = shape.map((_, axis) => axis).slice(1);
  return b.op("ReduceSum", [b.op(op, [x, b.int64s(within)], { keepdims: int(0) })], { keepdims: int(0) });
}

export const reduceMean = (b: B, x: V, axes: readonly number[], keepdims = true): V =>
  b.op("ReduceMean", [x, b.int64s(axes)], { keepdims: int(keepdims ? 1 : 0) });

export const softmax = (b: B, x: V, axis: number): V => b.op("Softmax", [x], { axis: int(axis) });

export const gather = (b: B, x: V, indices: V, axis: number): V => b.op("Gather", [x, indices], { axis: int(axis) });

/** x[starts:ends:steps] along `axes`. */
export const slice = (b: B, x: V, starts: V, ends: V, axes: readonly number[], type?: Type | null): V =>
  b.op("Slice", [x, starts, ends, b.int64s(axes)], {}, type === undefined ? {} : { types: [type] });

/** `x` from its last element along the first axis to its first. */
export const flip = (b: B, x: V): V =>
  b.op("Slice", [x, b.int64s([-1]), b.int64s([-(2 ** 40)]), b.int64s([0]), b.int64s([-1])], {}, { types: [x.type] });

/**
 * `x` with zeros before and after it along `axes`, to the shape of `like`; `before` and `after` are int64 vectors of one
 * element per axis. The node has no `axes` input: ONNX Runtime's transpose optimizer (1.30) reads `pads` as if it held
 * every axis.
 */
export function pad(
  b: B,
  x: V,
  before: readonly V[],
  after: readonly V[],
  axes: readonly number[],
  type: Type | null,
): V {
  const zero = b.int64s([0]);
  const full = (at: readonly V[]): V[] => x.dims.map((_, axis) => at[axes.indexOf(axis)] ?? zero);
  return b.op("Pad", [x, joinConstants(b, [...full(before), ...full(after)])], {}, { types: [type] });
}

/** Int64 vectors joined into one: a constant where all are. */
export function joinConstants(b: B, parts: readonly V[]): V {
  const constants = parts.map((p) => b.constantOf(p)?.numbers());
  const known = constants.filter((c) => c !== undefined);
  return known.length === parts.length ? b.int64s(known.flat()) : concat(b, parts, 0);
}

const added = { reduction: stringAttribute("add") };

/** `updates` added into `x` at index tuples (the last axis of `indices`). */
export const scatterNDAdd = (b: B, x: V, indices: V, updates: V): V => b.op("ScatterND", [x, indices, updates], added);

/** `updates` added into `x` at `indices` along `axis`. */
export const scatterElementsAdd = (b: B, x: V, indices: V, updates: V, axis: number): V =>
  b.op("ScatterElements", [x, indices, updates], { axis: int(axis), ...added });

export const gatherND = (b: B, x: V, indices: V, type: Type | null): V =>
  b.op("GatherND", [x, indices], {}, { types: [type] });
export const gatherElements = (b: B, x: V, indices: V, axis: number): V =>
  b.op("GatherElements", [x, indices], { axis: int(axis) });

/** Number of elements, an int64 scalar. */
export const size = (b: B, x: V): V =>
  x.shape && isStatic(x.shape) ? b.scalar(sizeOf(x.shape), "int64") : b.op("Size", [x]);

/** 0, 1, …, n − 1 for an int64 scalar n. */
export const rangeTo = (b: B, n: V): V => b.op("Range", [b.scalar(0, "int64"), n, b.scalar(1, "int64")]);

/** The flat position of every element of `x`, in the shape of `x`. */
export const positions = (b: B, x: V): V =>
  reshapeTo(b, rangeTo(b, size(b, x)), shapeOf(b, x), tensorType("int64", x.shape));

/** Zeros like `x` with `updates` added at flat `places` of the same shape as the updates. */
export function scatterFlat(b: B, x: V, places: V, updates: V): V {
  const count = x.shape && isStatic(x.shape) ? sizeOf(x.shape) : freshDim();
  const shape = typeof count === "number" ? b.int64s([count]) : unsqueeze(b, size(b, x), [0]);
  const zeros = expand(b, scalarLike(b, 0, updates), shape, tensorType(updates.dtype, [count]));
  const flat = scatterElementsAdd(b, zeros, reshape(b, places, [-1]), reshape(b, updates, [-1]), 0);
  return reshapeTo(b, flat, shapeOf(b, x), tensorType(updates.dtype, x.shape));
}

/** Constant tensor of floats in the dtype of `like`. */
export const floats = (b: B, values: readonly number[], like: V): V =>
  b.constant(Tensor.of(like.dtype, [values.length], values));

export { floatAttribute as float, int };

/** The shape of a scalar. */
export const emptyShape = (): Tensor => Tensor.int64s([]);
