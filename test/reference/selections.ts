/** Operators that choose, cut or multiply up elements. */
import { normalizeAxis, sizeOf } from "../../src/util/shape.js";
import { array, axesOf, full, grid, mapLines, numbersOf, stridesOf, wrap, type Array64 } from "./array.js";
import type { Op } from "./call.js";

const centerCropPad: Op = (c) => {
  const [x, shape] = [c.at(0), numbersOf(c.at(1))];
  const axes = axesOf(c.node.ints("axes") ?? [...x.dims.keys()], x.dims.length);
  const dims = x.dims.map((d, i) => (axes.includes(i) ? shape[axes.indexOf(i)]! : d));
  const start = x.dims.map((d, i) => [
    Math.floor(Math.max(d - dims[i]!, 0) / 2),
    Math.floor(Math.max(dims[i]! - d, 0) / 2),
  ]);
  const common = x.dims.map((d, i) => Math.min(d, dims[i]!));
  const offset = (strides: readonly number[], which: 0 | 1): number =>
    strides.reduce((n, s, i) => n + s * start[i]![which]!, 0);
  const [own, out] = [stridesOf(x.dims), stridesOf(dims)];
  const [from, to] = [grid(common, own, offset(own, 0)), grid(common, out, offset(out, 1))];
  const y = full(x.dtype, dims, 0);
  to.forEach((t, i) => (y.data[t] = x.data[from[i]!]!));
  return y;
};

const unique: Op = (c) => {
  const x = c.at(0);
  const given = c.node.int("axis");
  const axis = given === undefined ? null : normalizeAxis(given, x.dims.length);
  const dims = axis === null ? [x.data.length] : x.dims;
  const at = axis ?? 0;
  const strides = stridesOf(dims);
  const others = dims.map((d, i) => (i === at ? 1 : d));
  const slices = Array.from({ length: dims[at]! }, (_, i) =>
    Array.from(grid(others, strides, i * strides[at]!), (o) => x.data[o]!),
  );
  const order = (a: readonly number[], b: readonly number[]): number => {
    const i = a.findIndex((v, j) => v !== b[j]);
    return i < 0 ? 0 : a[i]! - b[i]!;
  };
  const found: { first: number; count: number }[] = [];
  const inverse = slices.map((s, i) => {
    const known = found.findIndex(({ first }) => order(slices[first]!, s) === 0);
    if (known >= 0) found[known]!.count++;
    else found.push({ first: i, count: 1 });
    return known >= 0 ? known : found.length - 1;
  });
  const places = [...found.keys()];
  if (c.node.int("sorted", 1) === 1) places.sort((p, q) => order(slices[found[p]!.first]!, slices[found[q]!.first]!));
  const y = full(
    x.dtype,
    dims.map((d, i) => (i === at ? found.length : d)),
    0,
  );
  const out = stridesOf(y.dims);
  places.forEach((p, k) => {
    const cells = grid(others, out, k * out[at]!);
    slices[found[p]!.first]!.forEach((v, j) => (y.data[cells[j]!] = v));
  });
  const vector = (values: number[]): Array64 => array("int64", [values.length], values);
  return [
    y,
    vector(places.map((p) => found[p]!.first)),
    vector(inverse.map((p) => places.indexOf(p))),
    vector(places.map((p) => found[p]!.count)),
  ];
};

const cumProd: Op = (c) => {
  const [x, axis] = [c.at(0), c.at(1).data[0]!];
  const [exclusive, reverse] = [c.node.int("exclusive", 0) === 1, c.node.int("reverse", 0) === 1];
  return mapLines(x, [axis], (line) => {
    const values = reverse ? [...line].reverse() : [...line];
    let product = 1;
    const y = values.map((v) => {
      const before = product;
      product = wrap(x.dtype, product * v);
      return exclusive ? before : product;
    });
    return reverse ? y.reverse() : y;
  });
};

/** By elimination with pivots. */
const det: Op = (c) => {
  const x = c.at(0);
  const n = x.dims.at(-1)!;
  const count = sizeOf(x.dims.slice(0, -2));
  const y = Array.from({ length: count }, (_, k) => {
    const rows = Array.from({ length: n }, (_, i) => [...x.data.subarray((k * n + i) * n, (k * n + i + 1) * n)]);
    let product = 1;
    for (let i = 0; i < n; i++) {
      let pivot = i;
      for (let r = i; r < n; r++) if (Math.abs(rows[r]![i]!) > Math.abs(rows[pivot]![i]!)) pivot = r;
      if (rows[pivot]![i] === 0) return 0;
      if (pivot !== i) [rows[i], rows[pivot], product] = [rows[pivot]!, rows[i]!, -product];
      product *= rows[i]![i]!;
      for (let r = i + 1; r < n; r++) {
        const factor = rows[r]![i]! / rows[i]![i]!;
        rows[i]!.forEach((v, j) => (rows[r]![j]! -= factor * v));
      }
    }
    return product;
  });
  return array(x.dtype, x.dims.slice(0, -2), y);
};

const arrayFeatureExtractor: Op = (c) => {
  const [x, indices] = [c.at(0), numbersOf(c.at(1))];
  const width = x.dims.at(-1)!;
  const rows = x.data.length / width;
  const y = Array.from({ length: rows }, (_, r) => indices.map((i) => x.data[r * width + i]!)).flat();
  return array(x.dtype, [...(x.dims.length === 1 ? [1] : x.dims.slice(0, -1)), indices.length], y);
};

const binarizer: Op = (c) =>
  array(
    c.at(0).dtype,
    c.at(0).dims,
    c.at(0).data.map((v) => Number(v > c.node.float("threshold", 0))),
  );

export const selections: Readonly<Record<string, Op>> = {
  CenterCropPad: centerCropPad,
  Unique: unique,
  CumProd: cumProd,
  "ai.onnx.ml::ArrayFeatureExtractor": arrayFeatureExtractor,
  "ai.onnx.ml::Binarizer": binarizer,
  Det: det,
};
