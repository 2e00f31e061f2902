/** Operators that move elements without computing with them: shapes, slices, joins. */
import { must } from "../../src/util/assert.js";
import { dtypeOfCode } from "../../src/util/dtype.js";
import { normalizeAxis, sizeOf } from "../../src/util/shape.js";
import {
  array,
  axesOf,
  broadcastDims,
  broadcastTo,
  full,
  grid,
  numbersOf,
  ofTensor,
  sameDType,
  scalar,
  stridesOf,
  take,
  transpose,
  view,
  withDims,
  type Array64,
} from "./array.js";
import type { Op } from "./call.js";

const reshape: Op = (c) => {
  const x = c.at(0);
  const target = must(c.numbers(1, "shape"), "the shape");
  const dims = target.map((d, i) => (d === 0 && c.node.int("allowzero", 0) === 0 ? x.dims[i]! : d));
  const known = sizeOf(dims.filter((d) => d !== -1));
  return withDims(
    x,
    dims.map((d) => (d === -1 ? x.data.length / known : d)),
  );
};

const flatten: Op = (c) => {
  const x = c.at(0);
  const axis = normalizeAxis(c.node.int("axis", 1), x.dims.length);
  return withDims(x, [sizeOf(x.dims.slice(0, axis)), sizeOf(x.dims.slice(axis))]);
};

const squeeze: Op = (c) => {
  const x = c.at(0);
  const axes = c.numbers(1, "axes");
  const which = axes ? axesOf(axes, x.dims.length) : [...x.dims.keys()].filter((i) => x.dims[i] === 1);
  for (const a of which)
    if (x.dims[a] !== 1) throw new Error(`${c.node.label}: axis ${a} has size ${x.dims[a] ?? "?"}`);
  return withDims(
    x,
    x.dims.filter((_, i) => !which.includes(i)),
  );
};

const unsqueeze: Op = (c) => {
  const axes = must(c.numbers(1, "axes"), "axes");
  const rank = c.at(0).dims.length + axes.length;
  const which = axesOf(axes, rank);
  const rest = [...c.at(0).dims];
  return withDims(
    c.at(0),
    Array.from({ length: rank }, (_, i) => (which.includes(i) ? 1 : rest.shift()!)),
  );
};

const tile: Op = (c) => {
  const x = c.at(0);
  const repeats = numbersOf(c.at(1));
  const strides = stridesOf(x.dims);
  const split = view(
    x,
    x.dims.flatMap((d, i) => [repeats[i]!, d]),
    strides.flatMap((s) => [0, s]),
  );
  return withDims(
    split,
    x.dims.map((d, i) => d * repeats[i]!),
  );
};

export function concat(xs: readonly Array64[], axis: number): Array64 {
  sameDType(...xs);
  const at = normalizeAxis(axis, xs[0]!.dims.length);
  const total = xs.reduce((n, x) => n + x.dims[at]!, 0);
  const dims = xs[0]!.dims.map((d, i) => (i === at ? total : d));
  const out = full(xs[0]!.dtype, dims, 0);
  const strides = stridesOf(dims);
  let start = 0;
  for (const x of xs) {
    grid(x.dims, strides, start * strides[at]!).forEach((o, i) => (out.data[o] = x.data[i]!));
    start += x.dims[at]!;
  }
  return out;
}

const split: Op = (c) => {
  const x = c.at(0);
  const axis = normalizeAxis(c.node.int("axis", 0), x.dims.length);
  const count = c.node.int("num_outputs", c.node.outputs.length);
  const chunk = Math.ceil(x.dims[axis]! / count);
  const sizes =
    c.numbers(1, "split") ?? Array.from({ length: count }, (_, i) => Math.min(chunk, x.dims[axis]! - i * chunk));
  const strides = stridesOf(x.dims);
  let start = 0;
  return sizes.map((size) => {
    const part = view(
      x,
      x.dims.map((d, i) => (i === axis ? size : d)),
      strides,
      start * strides[axis]!,
    );
    start += size;
    return part;
  });
};

const slice: Op = (c) => {
  const x = c.at(0);
  const starts = must(c.numbers(1, "starts"), "starts");
  const ends = must(c.numbers(2, "ends"), "ends");
  const axes = axesOf(c.numbers(3, "axes") ?? [...starts.keys()], x.dims.length);
  const steps = c.numbers(4, "steps") ?? starts.map(() => 1);
  const dims = [...x.dims];
  const strides = stridesOf(x.dims);
  let base = 0;
  axes.forEach((axis, i) => {
    const size = x.dims[axis]!;
    const step = steps[i]!;
    const place = (at: number): number => {
      const from = at < 0 ? at + size : at;
      return step > 0 ? Math.min(Math.max(from, 0), size) : Math.min(Math.max(from, -1), size - 1);
    };
    const start = step > 0 ? place(starts[i]!) : Math.max(place(starts[i]!), size ? 0 : -1);
    dims[axis] = Math.max(0, Math.ceil((place(ends[i]!) - start) / step));
    base += start * strides[axis]!;
    strides[axis] = strides[axis]! * step;
  });
  return view(x, dims, strides, base);
};

/** Position inside an axis of `size` for one outside of it, or -1 for the constant. */
function padded(at: number, size: number, mode: string): number {
  if (at >= 0 && at < size) return at;
  switch (mode) {
    case "edge":
      return at < 0 ? 0 : size - 1;
    case "reflect": {
      if (size === 1) return 0;
      const period = 2 * (size - 1);
      const m = ((at % period) + period) % period;
      return m < size ? m : period - m;
    }
    case "wrap":
      return ((at % size) + size) % size;
    default:
      return -1;
  }
}

const pad: Op = (c) => {
  const x = c.at(0);
  const pads = must(c.numbers(1, "pads"), "pads");
  const value = c.maybe(2)?.data[0] ?? c.node.float("value", 0);
  const mode = c.node.string("mode", "constant");
  const third = c.maybe(3);
  const axes = third ? axesOf(numbersOf(third), x.dims.length) : [...x.dims.keys()];
  const before = x.dims.map((_, i) => (axes.includes(i) ? pads[axes.indexOf(i)]! : 0));
  const after = x.dims.map((_, i) => (axes.includes(i) ? pads[axes.length + axes.indexOf(i)]! : 0));
  const dims = x.dims.map((d, i) => d + before[i]! + after[i]!);
  const strides = stridesOf(x.dims);
  let offsets = [0];
  dims.forEach((d, i) => {
    const places = Array.from({ length: d }, (_, j) => padded(j - before[i]!, x.dims[i]!, mode));
    offsets = offsets.flatMap((o) => places.map((p) => (o < 0 || p < 0 ? -1 : o + p * strides[i]!)));
  });
  return array(
    x.dtype,
    dims,
    offsets.map((o) => (o < 0 ? value : x.data[o]!)),
  );
};

const shape: Op = (c) => {
  const dims = c.at(0).dims;
  const part = dims.slice(c.node.int("start", 0), c.node.int("end", dims.length));
  return array("int64", [part.length], part);
};

const constant: Op = (c) => {
  const a = c.node.attributes;
  const tensor = c.node.tensor("value");
  if (tensor) return ofTensor(tensor);
  const [key, value] = Object.entries(a)[0] ?? ["nothing"];
  const dtype = key.startsWith("value_float") ? "float32" : "int64";
  if (value?.type === "float" || value?.type === "int") return scalar(Number(value.value), dtype);
  if (value?.type === "floats" || value?.type === "ints")
    return array(dtype, [value.value.length], value.value.map(Number));
  throw new Error(`${c.node.label}: a constant of ${key} is not covered`);
};

const constantOfShape: Op = (c) => {
  const value = c.node.tensor("value");
  return full(value?.dtype ?? "float32", numbersOf(c.at(0)), value?.numbers()[0] ?? 0);
};

const range: Op = (c) => {
  const [start, limit, delta] = c.all().map((x) => x.data[0]!) as [number, number, number];
  const n = Math.max(0, Math.ceil((limit - start) / delta));
  return array(
    c.at(0).dtype,
    [n],
    Array.from({ length: n }, (_, i) => start + i * delta),
  );
};

const eyeLike: Op = (c) => {
  const [rows, columns] = c.at(0).dims as [number, number];
  const to = c.node.int("dtype");
  const k = c.node.int("k", 0);
  const dtype = to === undefined ? c.at(0).dtype : (dtypeOfCode(to) ?? "float32");
  return array(
    dtype,
    [rows, columns],
    Array.from({ length: rows * columns }, (_, i) => (Math.floor(i / columns) + k === i % columns ? 1 : 0)),
  );
};

const trilu: Op = (c) => {
  const x = c.at(0);
  const [rows, columns] = x.dims.slice(-2) as [number, number];
  const k = c.maybe(1)?.data[0] ?? 0;
  const upper = c.node.int("upper", 1) === 1;
  const keep = (i: number): boolean => {
    const d = (i % columns) - (Math.floor(i / columns) % rows);
    return upper ? d >= k : d <= k;
  };
  return array(
    x.dtype,
    x.dims,
    x.data.map((v, i) => (keep(i) ? v : 0)),
  );
};

/** blocksize² channels ↔ one block of pixels. */
const depthToSpace: Op = (c) => {
  const [n, d, h, w] = c.at(0).dims as [number, number, number, number];
  const s = c.node.int("blocksize", 1);
  const crd = c.node.string("mode", "DCR") === "CRD";
  const inner = d / (s * s);
  const split = withDims(c.at(0), crd ? [n, inner, s, s, h, w] : [n, s, s, inner, h, w]);
  return withDims(transpose(split, crd ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2]), [n, inner, h * s, w * s]);
};

const spaceToDepth: Op = (c) => {
  const [n, d, h, w] = c.at(0).dims as [number, number, number, number];
  const s = c.node.int("blocksize", 1);
  const split = withDims(c.at(0), [n, d, h / s, s, w / s, s]);
  return withDims(transpose(split, [0, 3, 5, 1, 2, 4]), [n, d * s * s, h / s, w / s]);
};

const compress: Op = (c) => {
  const axis = c.node.int("axis");
  const x = axis === undefined ? withDims(c.at(0), [c.at(0).data.length]) : c.at(0);
  const at = normalizeAxis(axis ?? 0, x.dims.length);
  const kept = numbersOf(c.at(1)).flatMap((v, i) => (v !== 0 ? [i] : []));
  const strides = stridesOf(x.dims);
  const parts = kept.map((i) =>
    view(
      x,
      x.dims.map((d, j) => (j === at ? 1 : d)),
      strides,
      i * strides[at]!,
    ),
  );
  return parts.length > 0
    ? concat(parts, at)
    : full(
        x.dtype,
        x.dims.map((d, j) => (j === at ? 0 : d)),
        0,
      );
};

const reverseSequence: Op = (c) => {
  const x = c.at(0);
  const lengths = numbersOf(c.at(1));
  const [batch, time] = [c.node.int("batch_axis", 1), c.node.int("time_axis", 0)];
  const strides = stridesOf(x.dims);
  const offsets = Int32Array.from(x.data, (_, flat) => {
    const at = (axis: number): number => Math.floor(flat / strides[axis]!) % x.dims[axis]!;
    const n = lengths[at(batch)]!;
    return at(time) < n ? flat + (n - 1 - 2 * at(time)) * strides[time]! : flat;
  });
  return array(x.dtype, x.dims, take(x.data, offsets));
};

export const layout: Record<string, Op> = {
  Transpose: (c) => transpose(c.at(0), c.node.ints("perm") ?? [...c.at(0).dims.keys()].reverse()),
  Reshape: reshape,
  Flatten: flatten,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Expand: (c) => broadcastTo(c.at(0), broadcastDims(c.at(0).dims, numbersOf(c.at(1)))),
  Tile: tile,
  Concat: (c) => concat(c.all(), c.node.int("axis", 1)),
  Split: split,
  Slice: slice,
  Pad: pad,
  Shape: shape,
  Constant: constant,
  ConstantOfShape: constantOfShape,
  Range: range,
  EyeLike: eyeLike,
  Trilu: trilu,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  Compress: compress,
  ReverseSequence: reverseSequence,
};
