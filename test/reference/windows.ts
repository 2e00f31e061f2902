/** Convolutions and pools of any number of spatial axes. */
import { must } from "../../src/util/assert.js";
import { sizeOf } from "../../src/util/shape.js";
import { array, full, grid, numbersOf, reduceLines, stridesOf, type Array64 } from "./array.js";
import type { Call, Op } from "./call.js";

interface Geometry {
  size: readonly number[];
  kernel: readonly number[];
  strides: readonly number[];
  dilations: readonly number[];
  before: readonly number[];
  after: readonly number[];
  out: number[];
}

function geometry(c: Call, size: readonly number[], kernel: readonly number[]): Geometry {
  const ones = size.map(() => 1);
  const strides = c.node.ints("strides") ?? ones;
  const dilations = c.node.ints("dilations") ?? ones;
  const extent = kernel.map((k, i) => (k - 1) * dilations[i]! + 1);
  const pads = c.node.ints("pads") ?? [...size, ...size].map(() => 0);
  let before = pads.slice(0, size.length);
  let after = pads.slice(size.length);
  const auto = c.node.string("auto_pad", "NOTSET");
  if (auto.startsWith("SAME")) {
    const total = size.map((d, i) => Math.max(0, (Math.ceil(d / strides[i]!) - 1) * strides[i]! + extent[i]! - d));
    const less = total.map((t) => Math.floor(t / 2));
    const more = total.map((t) => Math.ceil(t / 2));
    [before, after] = auto === "SAME_UPPER" ? [less, more] : [more, less];
  } else if (auto === "VALID") [before, after] = [size.map(() => 0), size.map(() => 0)];
  const ceil = c.node.int("ceil_mode", 0) === 1;
  const out = size.map((d, i) => {
    const steps = (d + before[i]! + after[i]! - extent[i]!) / strides[i]!;
    const n = (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
    // A window that would start in the padding after the end is none.
    return ceil && (n - 1) * strides[i]! >= d + before[i]! ? n - 1 : n;
  });
  return { size, kernel, strides, dilations, before, after, out };
}

/** For each output position and kernel position: the flat spatial offset; -1 in the padding, -2 past its end. */
function windows(g: Geometry): Int32Array {
  let table = [0];
  let [outs, kernels] = [1, 1];
  const inputStrides = stridesOf(g.size);
  g.size.forEach((d, axis) => {
    const [n, k] = [g.out[axis]!, g.kernel[axis]!];
    const next = Array<number>(outs * n * kernels * k);
    for (let o = 0; o < outs; o++)
      for (let i = 0; i < n; i++)
        for (let p = 0; p < kernels; p++)
          for (let j = 0; j < k; j++) {
            const at = i * g.strides[axis]! + j * g.dilations[axis]! - g.before[axis]!;
            const old = table[o * kernels + p]!;
            const here = at >= d + g.after[axis]! ? -2 : at < 0 || at >= d ? -1 : at * inputStrides[axis]!;
            next[((o * n + i) * kernels + p) * k + j] = old < 0 || here < 0 ? Math.min(old, here, -1) : old + here;
          }
    table = next;
    outs *= n;
    kernels *= k;
  });
  return Int32Array.from(table);
}

const conv: Op = (c) => {
  const [x, w, bias] = [c.at(0), c.at(1), c.maybe(2)];
  const groups = c.node.int("group", 1);
  const [n, channels] = x.dims as [number, number];
  const [filters, perGroup] = w.dims as [number, number];
  const g = geometry(c, x.dims.slice(2), w.dims.slice(2));
  const table = windows(g);
  const [inner, outer, k] = [sizeOf(g.size), sizeOf(g.out), sizeOf(g.kernel)];
  const y = new Float64Array(n * filters * outer);
  for (let b = 0; b < n; b++)
    for (let f = 0; f < filters; f++) {
      const first = Math.floor((f * groups) / filters) * perGroup;
      for (let o = 0; o < outer; o++) {
        let sum = bias?.data[f] ?? 0;
        for (let ch = 0; ch < perGroup; ch++)
          for (let p = 0; p < k; p++) {
            const at = table[o * k + p]!;
            if (at >= 0)
              sum += w.data[(f * perGroup + ch) * k + p]! * x.data[(b * channels + first + ch) * inner + at]!;
          }
        y[(b * filters + f) * outer + o] = sum;
      }
    }
  return array(x.dtype, [n, filters, ...g.out], y);
};

/** The transpose of a convolution: what Conv reads at an offset, this adds to it. */
const convTranspose: Op = (c) => {
  const [x, w, bias] = [c.at(0), c.at(1), c.maybe(2)];
  const groups = c.node.int("group", 1);
  const [n, channels] = x.dims as [number, number];
  const perGroup = w.dims[1]!;
  const size = x.dims.slice(2);
  const kernel = w.dims.slice(2);
  const ones = size.map(() => 1);
  const strides = c.node.ints("strides") ?? ones;
  const dilations = c.node.ints("dilations") ?? ones;
  const extra = c.node.ints("output_padding") ?? size.map(() => 0);
  const whole = size.map((d, i) => strides[i]! * (d - 1) + extra[i]! + (kernel[i]! - 1) * dilations[i]! + 1);
  const auto = c.node.string("auto_pad", "NOTSET");
  const shape = c.node.ints("output_shape") ?? (auto.startsWith("SAME") ? size.map((d, i) => d * strides[i]!) : null);
  const pads = c.node.ints("pads") ?? [...size, ...size].map(() => 0);
  const total = whole.map((d, i) => (shape ? d - shape[i]! : 0));
  const before = shape
    ? total.map((t) => (auto === "SAME_UPPER" ? Math.floor(t / 2) : t - Math.floor(t / 2)))
    : pads.slice(0, size.length);
  const out = shape ?? whole.map((d, i) => d - pads[i]! - pads[size.length + i]!);
  const after = out.map((d, i) => (size[i]! - 1) * strides[i]! + (kernel[i]! - 1) * dilations[i]! + 1 - d - before[i]!);
  const table = windows({ size: out, kernel, strides, dilations, before, after, out: size });
  const [inner, outer, k] = [sizeOf(size), sizeOf(out), sizeOf(kernel)];
  const filters = perGroup * groups;
  const y = new Float64Array(n * filters * outer);
  for (let b = 0; b < n; b++)
    for (let ch = 0; ch < channels; ch++)
      for (let f = 0; f < perGroup; f++) {
        const target = b * filters + Math.floor((ch * groups) / channels) * perGroup + f;
        for (let i = 0; i < inner; i++)
          for (let p = 0; p < k; p++) {
            const at = table[i * k + p]!;
            if (at >= 0)
              y[target * outer + at]! +=
                x.data[(b * channels + ch) * inner + i]! * w.data[(ch * perGroup + f) * k + p]!;
          }
      }
  if (bias) y.forEach((_, i) => (y[i]! += bias.data[Math.floor(i / outer) % filters]!));
  return array(x.dtype, [n, filters, ...out], y);
};

/** Applies `f` to the window at every output position of every channel. */
function pool(c: Call, f: (values: number[], places: number[], counted: number) => [number, number]): Array64[] {
  const x = c.at(0);
  const [n, channels] = x.dims as [number, number];
  const g = geometry(c, x.dims.slice(2), must(c.node.ints("kernel_shape"), "kernel_shape"));
  const table = windows(g);
  const [inner, outer, k] = [sizeOf(g.size), sizeOf(g.out), sizeOf(g.kernel)];
  const [y, at] = [new Float64Array(n * channels * outer), new Float64Array(n * channels * outer)];
  for (let plane = 0; plane < n * channels; plane++)
    for (let o = 0; o < outer; o++) {
      const window = Array.from(table.subarray(o * k, (o + 1) * k));
      const places = window.filter((p) => p >= 0).map((p) => plane * inner + p);
      const [value, place] = f(
        places.map((p) => x.data[p]!),
        places,
        window.filter((p) => p > -2).length,
      );
      y[plane * outer + o] = value;
      at[plane * outer + o] = place;
    }
  const dims = [n, channels, ...g.out];
  return [array(x.dtype, dims, y), array("int64", dims, at)];
}

const maxPool: Op = (c) => {
  const [y, indices] = pool(c, (values, places) => {
    const top = Math.max(...values);
    return [top, places[values.indexOf(top)] ?? 0];
  });
  if (c.node.int("storage_order", 0) === 0) return [y!, indices!];
  const size = c.at(0).dims.slice(2);
  const columns = grid(size, [...stridesOf([...size].reverse())].reverse());
  const plane = sizeOf(size);
  return [y!, { ...indices!, data: indices!.data.map((i) => i - (i % plane) + columns[i % plane]!) }];
};

/** Values put back at the flat positions that a MaxPool gave. */
const maxUnpool: Op = (c) => {
  const [x, indices, shape] = [c.at(0), c.at(1), c.maybe(2)];
  const kernel = must(c.node.ints("kernel_shape"), "kernel_shape");
  const strides = c.node.ints("strides") ?? kernel.map(() => 1);
  const pads = c.node.ints("pads") ?? [...kernel, ...kernel].map(() => 0);
  const [n, channels] = x.dims as [number, number];
  const own = x.dims.slice(2).map((d, i) => (d - 1) * strides[i]! + kernel[i]! - pads[i]! - pads[kernel.length + i]!);
  const natural = [n, channels, ...own];
  const dims = shape ? numbersOf(shape) : natural;
  const y = full(x.dtype, dims, 0);
  // The positions count in the natural size, whatever larger one is asked for.
  const [from, to] = [stridesOf(natural), stridesOf(dims)];
  indices.data.forEach((flat, i) => {
    const at = from.reduce((sum, s, axis) => sum + (Math.floor(flat / s) % natural[axis]!) * to[axis]!, 0);
    y.data[at] = x.data[i]!;
  });
  return y;
};

/** The transpose of taking patches: every patch, a column, added where it came from. */
const col2Im: Op = (c) => {
  const x = c.at(0);
  const [size, kernel] = [numbersOf(c.at(1)), numbersOf(c.at(2))];
  const g = geometry(c, size, kernel);
  const table = windows(g);
  const [inner, outer, k] = [sizeOf(size), sizeOf(g.out), sizeOf(kernel)];
  const [n, channels] = [x.dims[0]!, x.dims[1]! / k];
  const y = full(x.dtype, [n, channels, ...size], 0);
  for (let plane = 0; plane < n * channels; plane++)
    for (let p = 0; p < k; p++)
      for (let o = 0; o < outer; o++) {
        const at = table[o * k + p]!;
        if (at >= 0) y.data[plane * inner + at]! += x.data[(plane * k + p) * outer + o]!;
      }
  return y;
};

const averagePool: Op = (c) => {
  const padding = c.node.int("count_include_pad", 0) === 1;
  return pool(c, (values, _, counted) => [
    values.reduce((a, b) => a + b, 0) / (padding ? counted : values.length),
    0,
  ])[0]!;
};

const lpPool: Op = (c) => {
  const p = c.node.int("p", 2);
  return pool(c, (values) => [values.reduce((s, v) => s + Math.abs(v) ** p, 0) ** (1 / p), 0])[0]!;
};

const globalPool =
  (f: (line: Float64Array) => number): Op =>
  (c) =>
    reduceLines(c.at(0), [...c.at(0).dims.keys()].slice(2), true, f);

export const convolutions: Record<string, Op> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  MaxPool: maxPool,
  AveragePool: averagePool,
  LpPool: lpPool,
  MaxUnpool: maxUnpool,
  Col2Im: col2Im,
  GlobalAveragePool: globalPool((l) => l.reduce((a, b) => a + b, 0) / l.length),
  GlobalLpPool: (c) => {
    const p = c.node.int("p", 2);
    return globalPool((l) => l.reduce((a, v) => a + Math.abs(v) ** p, 0) ** (1 / p))(c);
  },
  GlobalMaxPool: globalPool((l) => l.reduce((a, b) => Math.max(a, b))),
};
