/** Sums of products: MatMul, Gemm, Einsum. */
import {
  array,
  broadcastDims,
  broadcastTo,
  combine,
  grid,
  map,
  sameDType,
  stridesOf,
  transpose,
  type Array64,
} from "./array.js";
import type { Op } from "./call.js";
import { sizeOf } from "../../src/util/shape.js";

/** C = A B over the last two axes, batch axes broadcasting. */
export function matmul(x: Array64, y: Array64): Array64 {
  sameDType(x, y);
  const a = x.dims.length === 1 ? array(x.dtype, [1, x.dims[0]!], x.data) : x;
  const b = y.dims.length === 1 ? array(y.dtype, [y.dims[0]!, 1], y.data) : y;
  const [m, k] = a.dims.slice(-2) as [number, number];
  const [k2, n] = b.dims.slice(-2) as [number, number];
  if (k !== k2) throw new Error(`MatMul of [${x.dims.join(",")}] and [${y.dims.join(",")}]`);
  const batch = broadcastDims(a.dims.slice(0, -2), b.dims.slice(0, -2));
  const left = broadcastTo(a, [...batch, m, k]).data;
  const right = broadcastTo(b, [...batch, k, n]).data;
  const out = new Float64Array(sizeOf(batch) * m * n);
  for (let row = 0; row < sizeOf(batch) * m; row++) {
    const base = Math.floor(row / m) * k * n;
    for (let i = 0; i < k; i++) {
      const value = left[row * k + i]!;
      for (let j = 0; j < n; j++) out[row * n + j] = out[row * n + j]! + value * right[base + i * n + j]!;
    }
  }
  return array(x.dtype, [...batch, ...(x.dims.length === 1 ? [] : [m]), ...(y.dims.length === 1 ? [] : [n])], out);
}

const gemm: Op = (c) => {
  const a = c.node.int("transA", 0) ? transpose(c.at(0), [1, 0]) : c.at(0);
  const b = c.node.int("transB", 0) ? transpose(c.at(1), [1, 0]) : c.at(1);
  const [alpha, beta] = [c.node.float("alpha", 1), c.node.float("beta", 1)];
  const product = map(matmul(a, b), (x) => alpha * x);
  const bias = c.maybe(2);
  return bias ? combine([product, bias], (x, y) => x + beta * y) : product;
};

const einsum: Op = (c) => {
  const equation = (c.node.string("equation") ?? "").replaceAll(" ", "");
  const [left, right] = equation.split("->") as [string, string | undefined];
  const xs = c.all();
  const terms = left.split(",");
  const broadcastRank = Math.max(...terms.map((t, i) => (t.includes("...") ? xs[i]!.dims.length - t.length + 3 : 0)));
  const ellipsis = (n: number): string =>
    String.fromCharCode(...Array.from({ length: n }, (_, i) => 0x2460 + broadcastRank - n + i));
  const labels = terms.map((t, i) => t.replace("...", ellipsis(xs[i]!.dims.length - t.length + 3)));
  const counts = new Map<string, number>();
  for (const l of labels.join("")) counts.set(l, (counts.get(l) ?? 0) + 1);
  const implicit =
    ellipsis(broadcastRank) +
    [...counts]
      .filter(([l, n]) => n === 1 && l < "\u2460")
      .map(([l]) => l)
      .sort()
      .join("");
  const output = right === undefined ? implicit : right.replace("...", ellipsis(broadcastRank));
  const summed = [...counts.keys()].filter((l) => !output.includes(l));
  const sizes = new Map<string, number>();
  labels.forEach((t, i) => Array.from(t).forEach((l, j) => sizes.set(l, Math.max(sizes.get(l) ?? 1, xs[i]!.dims[j]!))));
  const stride = (i: number, label: string): number => {
    const strides = stridesOf(xs[i]!.dims);
    return Array.from(labels[i]!).reduce((s, l, j) => s + (l === label && xs[i]!.dims[j] !== 1 ? strides[j]! : 0), 0);
  };
  const dimsOf = (which: readonly string[]): number[] => which.map((l) => sizes.get(l)!);
  const outer = xs.map((_, i) =>
    grid(
      dimsOf(Array.from(output)),
      Array.from(output).map((l) => stride(i, l)),
    ),
  );
  const inner = xs.map((_, i) =>
    grid(
      dimsOf(summed),
      summed.map((l) => stride(i, l)),
    ),
  );
  const out = new Float64Array(sizeOf(dimsOf(Array.from(output))));
  for (let o = 0; o < out.length; o++)
    for (let s = 0; s < sizeOf(dimsOf(summed)); s++)
      out[o] = out[o]! + xs.reduce((p, x, i) => p * x.data[outer[i]![o]! + inner[i]![s]!]!, 1);
  return array(xs[0]!.dtype, dimsOf(Array.from(output)), out);
};

export const products: Record<string, Op> = { MatMul: (c) => matmul(c.at(0), c.at(1)), Gemm: gemm, Einsum: einsum };
