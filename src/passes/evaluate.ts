import type { Node } from "../ir/graph.js";
import { dtypeOfCode, type DType } from "../util/dtype.js";
import { normalizeAxis, sizeOf } from "../util/shape.js";
import {
  broadcastDims,
  coordinates,
  expandTo,
  fit,
  fromTensor,
  isFoldable,
  isInteger,
  pick,
  small,
  strides,
  type Element,
  type Small,
} from "./small.js";

/** The result of a node on known inputs; null where it is not known how, or not worth it. */
export type Evaluate = (node: Node, inputs: readonly (Small | null)[]) => Small | null;

/** Results of more elements are left to the runtime. */
export const largest = 4096;

type Scalar = bigint | number;

/** Every input must be known; `outOf` gives an element from one of each. */
const pointwise =
  (outOf: (xs: Scalar[], dtype: DType) => Scalar | null, result?: DType): Evaluate =>
  (_, inputs) => {
    const known = inputs.filter((s) => s !== null);
    const first = known[0];
    const dims = broadcastDims(known.map((s) => s.dims));
    if (!first || !dims || known.length < inputs.length || sizeOf(dims) > largest) return null;
    const all = known.map((s) => expandTo(s, dims).data);
    const data = (all[0] ?? []).map((_, i): Element => {
      const xs = all.map((d) => d[i] ?? null);
      return xs.includes(null) ? null : outOf(xs as Scalar[], first.dtype);
    });
    return small(result ?? first.dtype, dims, data);
  };

/** A binary operation by its integer and its floating-point form. */
const binary = (ints: (a: bigint, b: bigint) => bigint | null, floats: (a: number, b: number) => number): Evaluate =>
  pointwise(([a = 0, b = 0]) =>
    typeof a === "bigint" && typeof b === "bigint" ? ints(a, b) : floats(Number(a), Number(b)),
  );
const unary = (ints: ((a: bigint) => bigint) | null, floats: ((a: number) => number) | null): Evaluate =>
  pointwise(([a = 0]) => (typeof a === "bigint" ? (ints?.(a) ?? null) : (floats?.(a) ?? null)));
const compare = (holds: (a: Scalar, b: Scalar) => boolean): Evaluate =>
  pointwise(([a = 0, b = 0]) => (holds(a, b) ? 1n : 0n), "bool");
const extremum = (better: (a: Scalar, b: Scalar) => boolean): Evaluate =>
  pointwise((xs) => xs.reduce((a, b) => (Number.isNaN(a) || better(a, b) ? a : b)));

/** Plain numbers of a fully known integer tensor. */
function ints(s: Small | null | undefined): number[] | null {
  if (!s || s.data.includes(null)) return null;
  return s.data.map(Number);
}

/** Axes of an operator that takes them as an input since opset 13 and as an attribute before. */
const axesOf = (node: Node, input: Small | null | undefined): number[] | null =>
  node.inputs[1] ? ints(input) : (node.ints("axes") ?? null);

const reshape = (s: Small, dims: readonly number[]): Small | null =>
  sizeOf(dims) === s.data.length ? { ...s, dims } : null;

const gather: Evaluate = (node, [x, indices]) => {
  const at = ints(indices);
  if (!x || !indices || !at) return null;
  const axis = normalizeAxis(node.int("axis", 0), x.dims.length);
  const size = x.dims[axis];
  if (size === undefined || at.some((i) => i < -size || i >= size)) return null;
  const [before, after] = [x.dims.slice(0, axis), x.dims.slice(axis + 1)];
  const rank = indices.dims.length;
  const dims = [...before, ...indices.dims, ...after];
  if (sizeOf(dims) > largest) return null;
  const [from, into] = [steps(x.dims), steps(indices.dims)];
  return pick(x, dims, (c) => {
    const index = at[dot(c.slice(axis, axis + rank), into)] ?? 0;
    return dot([...c.slice(0, axis), normalizeAxis(index, size), ...c.slice(axis + rank)], from);
  });
};

/** Row-major strides. */
const steps = (dims: readonly number[]): number[] => dims.map((_, i) => sizeOf(dims.slice(i + 1)));
const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);

const concat: Evaluate = (node, inputs) => {
  const parts = inputs.filter((s) => s !== null);
  const first = parts[0];
  if (!first || parts.length < inputs.length) return null;
  const axis = normalizeAxis(node.int("axis", 0), first.dims.length);
  const dims = first.dims.map((d, i) => (i === axis ? parts.reduce((n, p) => n + (p.dims[axis] ?? 0), 0) : d));
  if (sizeOf(dims) > largest) return null;
  const outer = sizeOf(dims.slice(0, axis));
  const data = Array.from({ length: outer }, (_, i) =>
    parts.map((p) => {
      const run = p.data.length / outer;
      return p.data.slice(i * run, (i + 1) * run);
    }),
  ).flat(2);
  return { dtype: first.dtype, dims, data };
};

const slice: Evaluate = (node, [x, ...bounds]) => {
  if (!x) return null;
  const attribute = node.inputs.length === 1;
  const list = (i: number, name: string): number[] | null | undefined =>
    attribute ? node.ints(name) : node.inputs[i + 1] ? ints(bounds[i]) : undefined;
  const [starts, ends] = [list(0, "starts"), list(1, "ends")];
  const [axes, by] = [list(2, "axes"), list(3, "steps")];
  if (!starts || !ends || axes === null || by === null) return null;
  const from = x.dims.map(() => 0);
  const step = x.dims.map(() => 1);
  const dims = [...x.dims];
  for (const [i, start] of starts.entries()) {
    const axis = normalizeAxis(axes?.[i] ?? i, x.dims.length);
    const size = x.dims[axis];
    const s = by?.[i] ?? 1;
    if (size === undefined || s === 0) return null;
    const clamp = (v: number): number => {
      const positive = v < 0 ? v + size : v;
      return s > 0 ? Math.min(Math.max(positive, 0), size) : Math.min(Math.max(positive, -1), size - 1);
    };
    const begin = Math.max(clamp(start), 0);
    const end = clamp(ends[i] ?? 0);
    from[axis] = begin;
    step[axis] = s;
    dims[axis] = Math.max(0, Math.ceil((end - begin) / s));
  }
  const across = steps(x.dims);
  return pick(x, dims, (c) => c.reduce((n, v, i) => n + ((from[i] ?? 0) + v * (step[i] ?? 1)) * (across[i] ?? 0), 0));
};

const reduce =
  (combine: (a: Scalar, b: Scalar) => Scalar, start: Scalar | null): Evaluate =>
  (node, [x, axesInput]) => {
    if (!x || !isInteger(x.dtype)) return null;
    const given = axesOf(node, axesInput);
    if (node.inputs[1] && !given) return null;
    if (given?.length === 0 && node.int("noop_with_empty_axes", 0)) return x;
    const rank = x.dims.length;
    const axes = new Set((given?.length ? given : x.dims.map((_, i) => i)).map((a) => normalizeAxis(a, rank)));
    const kept = x.dims.map((d, i) => (axes.has(i) ? 1 : d));
    const into = strides(kept, rank);
    const data = Array<Element | undefined>(sizeOf(kept)).fill(start ?? undefined);
    let at = 0;
    for (const c of coordinates(x.dims)) {
      const slot = dot(c, into);
      const [old, next] = [data[slot], x.data[at++] ?? null];
      data[slot] = old === undefined ? next : old === null || next === null ? null : combine(old, next);
    }
    const dims = node.int("keepdims", 1) ? kept : x.dims.filter((_, i) => !axes.has(i));
    return small(
      x.dtype,
      dims,
      data.map((d) => d ?? null),
    );
  };

const times = (a: Scalar, b: Scalar): Scalar =>
  typeof a === "bigint" && typeof b === "bigint" ? a * b : Number(a) * Number(b);
const plus = (a: Scalar, b: Scalar): Scalar =>
  typeof a === "bigint" && typeof b === "bigint" ? a + b : Number(a) + Number(b);

/** Operators that carry shapes and axes, by name; floating-point arithmetic only where it is exact as in the runtime. */
export const evaluators: Readonly<Record<string, Evaluate>> = {
  Identity: (_, [x]) => x ?? null,
  Add: binary(
    (a, b) => a + b,
    (a, b) => a + b,
  ),
  Sub: binary(
    (a, b) => a - b,
    (a, b) => a - b,
  ),
  Mul: binary(
    (a, b) => a * b,
    (a, b) => a * b,
  ),
  Div: binary(
    (a, b) => (b === 0n ? null : a / b),
    (a, b) => a / b,
  ),
  Mod: (node, inputs) =>
    node.int("fmod", 0) || inputs.some((s) => s && !isInteger(s.dtype))
      ? null
      : binary(
          (a, b) => (b === 0n ? null : ((a % b) + b) % b),
          () => NaN,
        )(node, inputs),
  Neg: unary(
    (a) => -a,
    (a) => -a,
  ),
  Abs: unary((a) => (a < 0n ? -a : a), Math.abs),
  Floor: unary(null, Math.floor),
  Ceil: unary(null, Math.ceil),
  Sqrt: unary(null, Math.sqrt),
  Not: unary((a) => 1n - a, null),
  And: binary(
    (a, b) => a & b,
    () => NaN,
  ),
  Or: binary(
    (a, b) => a | b,
    () => NaN,
  ),
  Min: extremum((a, b) => a <= b),
  Max: extremum((a, b) => a >= b),
  Equal: compare((a, b) => a === b),
  Less: compare((a, b) => a < b),
  LessOrEqual: compare((a, b) => a <= b),
  Greater: compare((a, b) => a > b),
  GreaterOrEqual: compare((a, b) => a >= b),
  Where: (node, [c, x, y]) => {
    if (!c || !x || !y) return null;
    const dims = broadcastDims([c.dims, x.dims, y.dims]);
    if (!dims || sizeOf(dims) > largest) return null;
    const [cs, xs, ys] = [expandTo(c, dims).data, expandTo(x, dims).data, expandTo(y, dims).data];
    const data = cs.map((t, i) => (t === null ? null : ((t ? xs[i] : ys[i]) ?? null)));
    return { dtype: x.dtype, dims, data };
  },
  Cast: (node, [x]) => {
    const to = dtypeOfCode(node.int("to", 0));
    if (!x || !to || !isFoldable(to)) return null;
    // Out of range, the runtime's conversions to integers are undefined.
    const safe = x.data.every((v) => typeof v !== "number" || !isInteger(to) || Math.abs(v) < 2 ** 31);
    return safe ? small(to, x.dims, x.data) : null;
  },
  Gather: gather,
  Concat: concat,
  Slice: slice,
  Unsqueeze: (node, [x, axesInput]) => {
    const axes = axesOf(node, axesInput);
    if (!x || !axes) return null;
    const rank = x.dims.length + axes.length;
    const at = new Set(axes.map((a) => normalizeAxis(a, rank)));
    let next = 0;
    return reshape(
      x,
      Array.from({ length: rank }, (_, i) => (at.has(i) ? 1 : (x.dims[next++] ?? 0))),
    );
  },
  Squeeze: (node, [x, axesInput]) => {
    if (!x) return null;
    const axes = axesOf(node, axesInput);
    if (node.inputs[1] && !axes) return null;
    const gone = axes && new Set(axes.map((a) => normalizeAxis(a, x.dims.length)));
    return reshape(
      x,
      x.dims.filter((d, i) => (gone ? !gone.has(i) : d !== 1)),
    );
  },
  Reshape: (node, [x, shape]) => {
    const given = ints(shape);
    if (!x || !given || node.int("allowzero", 0)) return null;
    const copied = given.map((d, i) => (d === 0 ? (x.dims[i] ?? 0) : d));
    const rest = sizeOf(copied.filter((d) => d !== -1));
    return reshape(
      x,
      copied.map((d) => (d === -1 ? (rest === 0 ? 0 : x.data.length / rest) : d)),
    );
  },
  Transpose: (node, [x]) => {
    if (!x) return null;
    const perm = node.ints("perm") ?? x.dims.map((_, i) => x.dims.length - 1 - i);
    const across = steps(x.dims);
    return pick(
      x,
      perm.map((p) => x.dims[p] ?? 0),
      (c) => c.reduce((n, v, i) => n + v * (across[perm[i] ?? 0] ?? 0), 0),
    );
  },
  Expand: (_, [x, shape]) => {
    const to = ints(shape);
    const dims = x && to && broadcastDims([x.dims, to]);
    return x && dims && sizeOf(dims) <= largest ? expandTo(x, dims) : null;
  },
  ConstantOfShape: (node, [shape]) => {
    const dims = ints(shape);
    const value = node.tensor("value");
    if (!dims || dims.some((d) => d < 0) || sizeOf(dims) > largest || (value && !isFoldable(value.dtype))) return null;
    const fill = value ? fromTensor(value) : small("float32", [1], [0]);
    return { dtype: fill.dtype, dims, data: Array<Element>(sizeOf(dims)).fill(fill.data[0] ?? null) };
  },
  Range: (_, inputs) => {
    const [start, limit, delta] = inputs.map((s) => ints(s)?.[0]);
    const dtype = inputs[0]?.dtype;
    if (start === undefined || limit === undefined || !delta || !dtype || !isInteger(dtype)) return null;
    const n = Math.max(0, Math.ceil((limit - start) / delta));
    if (n > largest || ![start, limit, delta].every(Number.isSafeInteger)) return null;
    return small(
      dtype,
      [n],
      Array.from({ length: n }, (_, i) => fit(dtype, start + i * delta)),
    );
  },
  ReduceProd: reduce(times, 1n),
  ReduceSum: reduce(plus, 0n),
  ReduceMax: reduce((a, b) => (a > b ? a : b), null),
  ReduceMin: reduce((a, b) => (a < b ? a : b), null),
};
