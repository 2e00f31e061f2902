/** Operators that read or write at positions given by other tensors. */
import { must } from "../../src/util/assert.js";
import { normalizeAxis, sizeOf } from "../../src/util/shape.js";
import { array, full, grid, lines, mapLines, numbersOf, sameDType, stridesOf, type Array64 } from "./array.js";
import type { Op } from "./call.js";

const inside = (i: number, size: number): number => {
  const at = i < 0 ? i + size : i;
  if (at < 0 || at >= size) throw new Error(`index ${i} of an axis of size ${size}`);
  return at;
};

const gather: Op = (c) => {
  const [x, indices] = [c.at(0), c.at(1)];
  const axis = normalizeAxis(c.node.int("axis", 0), x.dims.length);
  const before = sizeOf(x.dims.slice(0, axis));
  const after = sizeOf(x.dims.slice(axis + 1));
  const size = x.dims[axis]!;
  const out = new Float64Array(before * indices.data.length * after);
  let at = 0;
  for (let i = 0; i < before; i++)
    for (const index of indices.data)
      for (let j = 0; j < after; j++) out[at++] = x.data[(i * size + inside(index, size)) * after + j]!;
  return array(x.dtype, [...x.dims.slice(0, axis), ...indices.dims, ...x.dims.slice(axis + 1)], out);
};

/** For every element of `indices`, the flat offset in a tensor of `dims` where its value along `axis` replaces its own. */
function elementOffsets(dims: readonly number[], indices: Array64, axis: number): Int32Array {
  const strides = stridesOf(dims);
  const own = grid(
    indices.dims,
    strides.map((s, i) => (i === axis ? 0 : s)),
  );
  return own.map((o, i) => o + inside(indices.data[i]!, dims[axis]!) * strides[axis]!);
}

const gatherElements: Op = (c) => {
  const [x, indices] = [c.at(0), c.at(1)];
  const axis = normalizeAxis(c.node.int("axis", 0), x.dims.length);
  return array(
    x.dtype,
    indices.dims,
    Float64Array.from(elementOffsets(x.dims, indices, axis), (o) => x.data[o]!),
  );
};

/** Offsets of the slices that the last axis of `indices` points to, and the size of a slice. */
function sliceOffsets(dims: readonly number[], indices: Array64, batch: number): { starts: number[]; size: number } {
  const depth = indices.dims.at(-1)!;
  const strides = stridesOf(dims);
  const perBatch = sizeOf(indices.dims.slice(batch, -1));
  const starts = Array.from({ length: indices.data.length / depth }, (_, row) => {
    let offset = batch === 0 ? 0 : Math.floor(row / perBatch) * strides[batch - 1]!;
    for (let k = 0; k < depth; k++)
      offset += inside(indices.data[row * depth + k]!, dims[batch + k]!) * strides[batch + k]!;
    return offset;
  });
  return { starts, size: sizeOf(dims.slice(batch + depth)) };
}

const gatherND: Op = (c) => {
  const [x, indices] = [c.at(0), c.at(1)];
  const batch = c.node.int("batch_dims", 0);
  const { starts, size } = sliceOffsets(x.dims, indices, batch);
  const dims = [...indices.dims.slice(0, -1), ...x.dims.slice(batch + indices.dims.at(-1)!)];
  const data = starts.flatMap((s) => Array.from(x.data.subarray(s, s + size)));
  return array(x.dtype, dims, data);
};

const reductions: Record<string, (old: number, update: number) => number> = {
  none: (_, u) => u,
  add: (o, u) => o + u,
  mul: (o, u) => o * u,
  max: Math.max,
  min: Math.min,
};

const scatterElements: Op = (c) => {
  const [x, indices, updates] = [c.at(0), c.at(1), c.at(2)];
  const reduce = must(reductions[c.node.string("reduction", "none")], "reduction");
  sameDType(x, updates);
  const out = x.data.slice();
  const axis = normalizeAxis(c.node.int("axis", 0), x.dims.length);
  elementOffsets(x.dims, indices, axis).forEach((o, i) => (out[o] = reduce(out[o]!, updates.data[i]!)));
  return array(x.dtype, x.dims, out);
};

const scatterND: Op = (c) => {
  const [x, indices, updates] = [c.at(0), c.at(1), c.at(2)];
  const reduce = must(reductions[c.node.string("reduction", "none")], "reduction");
  const { starts, size } = sliceOffsets(x.dims, indices, 0);
  sameDType(x, updates);
  const out = x.data.slice();
  starts.forEach((s, row) => {
    for (let j = 0; j < size; j++) out[s + j] = reduce(out[s + j]!, updates.data[row * size + j]!);
  });
  return array(x.dtype, x.dims, out);
};

const oneHot: Op = (c) => {
  const [indices, values] = [c.at(0), c.at(2)];
  const depth = c.at(1).data[0]!;
  const axis = normalizeAxis(c.node.int("axis", -1), indices.dims.length + 1);
  const dims = [...indices.dims.slice(0, axis), depth, ...indices.dims.slice(axis)];
  const out = full(values.dtype, dims, values.data[0]!);
  const { outer } = lines(dims, [axis]);
  const stride = stridesOf(dims)[axis]!;
  indices.data.forEach((index, i) => {
    const at = index < 0 ? index + depth : index;
    if (at >= 0 && at < depth) out.data[outer[i]! + at * stride] = values.data[1]!;
  });
  return out;
};

const nonZero: Op = (c) => {
  const x = c.at(0);
  const found = [...x.data.keys()].filter((i) => x.data[i] !== 0);
  const strides = stridesOf(x.dims);
  const data = strides.flatMap((s, axis) => found.map((i) => Math.floor(i / s) % x.dims[axis]!));
  return array("int64", [x.dims.length, found.length], data);
};

const arg =
  (better: (a: number, b: number) => boolean): Op =>
  (c) => {
    const x = c.at(0);
    const axis = normalizeAxis(c.node.int("axis", 0), x.dims.length);
    const last = c.node.int("select_last_index", 0) === 1;
    const { outer, inner } = lines(x.dims, [axis]);
    const out = Float64Array.from(outer, (o) => {
      let best = 0;
      for (let j = 1; j < inner.length; j++) {
        const [value, top] = [x.data[o + inner[j]!]!, x.data[o + inner[best]!]!];
        if (better(value, top) || (last && value === top)) best = j;
      }
      return best;
    });
    const keep = c.node.int("keepdims", 1) === 1;
    return array("int64", keep ? x.dims.map((d, i) => (i === axis ? 1 : d)) : x.dims.filter((_, i) => i !== axis), out);
  };

const topK: Op = (c) => {
  const x = c.at(0);
  const k = must(c.numbers(1, "k"), "k")[0]!;
  const axis = normalizeAxis(c.node.int("axis", -1), x.dims.length);
  const sign = c.node.int("largest", 1) === 1 ? -1 : 1;
  const dims = x.dims.map((d, i) => (i === axis ? k : d));
  const [values, indices] = [full(x.dtype, dims, 0), full("int64", dims, 0)];
  const from = lines(x.dims, [axis]);
  const to = lines(dims, [axis]);
  from.outer.forEach((o, line) => {
    const at = (j: number): number => x.data[o + from.inner[j]!]!;
    const order = [...from.inner.keys()].sort((a, b) => sign * (at(a) - at(b)) || a - b);
    to.inner.forEach((t, j) => {
      values.data[to.outer[line]! + t] = at(order[j]!);
      indices.data[to.outer[line]! + t] = order[j]!;
    });
  });
  return [values, indices];
};

const cumulative =
  (start: number, f: (a: number, b: number) => number): Op =>
  (c) => {
    const [exclusive, reverse] = [c.node.int("exclusive", 0) === 1, c.node.int("reverse", 0) === 1];
    return mapLines(c.at(0), numbersOf(c.at(1)), (line) => {
      const out = new Float64Array(line.length);
      let all = start;
      for (let i = 0; i < line.length; i++) {
        const at = reverse ? line.length - 1 - i : i;
        const next = f(all, line[at]!);
        out[at] = exclusive ? all : next;
        all = next;
      }
      return out;
    });
  };

export const indexing: Record<string, Op> = {
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  ScatterElements: scatterElements,
  Scatter: scatterElements,
  ScatterND: scatterND,
  OneHot: oneHot,
  NonZero: nonZero,
  ArgMax: arg((a, b) => a > b),
  ArgMin: arg((a, b) => a < b),
  TopK: topK,
  CumSum: cumulative(0, (a, b) => a + b),
  CumProd: cumulative(1, (a, b) => a * b),
};
