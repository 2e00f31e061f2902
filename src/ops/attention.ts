/** Attention in terms of products and Softmax: what the attention operators of ONNX and of ONNX Runtime share. */
import { int, tensorType } from "../ir/graph.js";
import type { DType } from "../util/dtype.js";
import { freshDim, type Dim } from "../util/shape.js";
import * as e from "./emit.js";

/** d/n of a dimension. */
export const part = (d: Dim | undefined, n: number): Dim => (typeof d === "number" ? d / n : freshDim());

/** [batch, length, heads·size] as [batch, heads, length, size]. */
export function splitHeads(b: e.B, x: e.V, heads: number): e.V {
  const [batch, length, hidden] = x.dims;
  const type = tensorType(x.dtype, [batch ?? 1, length ?? 1, heads, part(hidden, heads)]);
  const split = b.op("Reshape", [x, b.int64s([0, 0, heads, -1])], {}, { types: [type] });
  return e.transpose(b, split, [0, 2, 1, 3]);
}

/** [batch, heads, length, size] as [batch, length, heads·size]. */
export function joinHeads(b: e.B, x: e.V): e.V {
  const [batch, heads, length, size] = x.dims;
  const hidden = typeof heads === "number" && typeof size === "number" ? heads * size : freshDim();
  const type = tensorType(x.dtype, [batch ?? 1, length ?? 1, hidden]);
  return b.op("Reshape", [e.transpose(b, x, [0, 2, 1, 3]), b.int64s([0, 0, -1])], {}, { types: [type] });
}

/** Each of the heads `times` times, one after the other: those that several heads of queries share. */
export function repeatHeads(b: e.B, x: e.V, times: number): e.V {
  if (times === 1) return x;
  const [batch, heads, length, size] = x.dims;
  const one = e.unsqueeze(b, x, [2]);
  const shape = e.joinConstants(b, [
    e.dimOf(b, x, 0),
    e.dimOf(b, x, 1),
    b.int64s([times]),
    e.dimOf(b, x, 2),
    e.dimOf(b, x, 3),
  ]);
  const type = tensorType(x.dtype, [batch ?? 1, heads ?? 1, times, length ?? 1, size ?? 1]);
  const all = typeof heads === "number" ? heads * times : freshDim();
  const joined = tensorType(x.dtype, [batch ?? 1, all, length ?? 1, size ?? 1]);
  const merged = e.joinConstants(b, [e.dimOf(b, x, 0), b.int64s([-1]), e.dimOf(b, x, 2), e.dimOf(b, x, 3)]);
  return e.reshapeTo(b, e.expand(b, one, shape, type), merged, joined);
}

/** What is put in the place of a score that does not count: its exponential is 0 beside any other. */
const lowest: Partial<Record<DType, number>> = { float64: -1e300, float16: -6e4 };

export const lowestLike = (b: e.B, like: e.V): e.V => e.scalarLike(b, lowest[like.dtype] ?? -3e38, like);

/** Which scores count, and what is added to them; both broadcast against [batch, heads, queries, keys]. */
export interface Mask {
  allowed: e.V | null;
  bias: e.V | null;
}

/** Both must hold. */
export const both = (b: e.B, p: e.V | null, q: e.V | null): e.V | null => (p && q ? e.and(b, p, q) : (p ?? q));

/** A mask as ONNX gives it, true where a key counts or a number that is added, where −∞ says that it does not. */
export function maskOf(b: e.B, mask: e.V): Mask {
  if (mask.dtype === "bool") return { allowed: mask, bias: null };
  const allowed = e.greater(b, mask, lowestLike(b, mask));
  return { allowed, bias: e.where(b, allowed, mask, e.scalarLike(b, 0, mask)) };
}

/** 0, 1, …, n − 1 along an axis of `x`, int64. */
export const indexAlong = (b: e.B, x: e.V, axis: number): e.V => e.rangeTo(b, e.squeeze(b, e.dimOf(b, x, axis), [0]));

export interface Scores {
  /** scale·QKᵀ; the same after the cap; with the mask. */
  raw: e.V;
  capped: e.V;
  masked: e.V;
  /** Its softmax: 0 in rows of which no key counts. */
  weights: e.V;
  y: e.V;
}

/** softmax(cap(scale·QKᵀ) + mask)·V for [batch, heads, length, size]. */
export function attend(
  b: e.B,
  [q, k, v]: readonly [e.V, e.V, e.V],
  { scale, softcap = 0, mask }: { scale: number; softcap?: number; mask: Mask },
): Scores {
  const raw = e.matmul(b, e.scale(b, q, scale), e.transposeLast(b, k));
  const capped = softcap > 0 ? e.scale(b, e.tanh(b, e.scale(b, raw, 1 / softcap)), softcap) : raw;
  const biased = mask.bias ? e.add(b, capped, mask.bias) : capped;
  if (!mask.allowed) {
    const weights = e.softmax(b, biased, -1);
    return { raw, capped, masked: biased, weights, y: e.matmul(b, weights, v) };
  }
  const masked = e.where(b, mask.allowed, biased, lowestLike(b, biased));
  const any = b.op("ReduceMax", [e.cast(b, mask.allowed, q.dtype), b.int64s([-1])], { keepdims: int(1) });
  const weights = e.mul(b, e.softmax(b, masked, -1), any);
  return { raw, capped, masked, weights, y: e.matmul(b, weights, v) };
}

/** Pairs of elements (u, v) of each head turned: (cu − sv, su + cv). x: [batch, heads, length, size]; cos and sin broadcast. */
export function rotate(b: e.B, x: e.V, cos: e.V, sin: e.V, rotated: number, interleaved: boolean): e.V {
  const [last, half] = [x.dims.length - 1, rotated / 2];
  const size = x.dims[last];
  const cut = (from: number, to: number, width: Dim): e.V =>
    e.slice(b, x, b.int64s([from]), b.int64s([to]), [last], tensorType(x.dtype, [...x.dims.slice(0, last), width]));
  const turned = size === rotated ? x : cut(0, rotated, rotated);
  const rest = size === rotated ? null : cut(rotated, 2 ** 31, typeof size === "number" ? size - rotated : freshDim());
  const lead = x.dims.slice(0, last);
  const whole = (v: e.V): e.V => (rest ? e.concat(b, [v, rest], last) : v);
  if (!interleaved) {
    const [u, v] = [cut(0, half, half), cut(half, rotated, half)];
    const first = e.sub(b, e.mul(b, u, cos), e.mul(b, v, sin));
    const second = e.add(b, e.mul(b, u, sin), e.mul(b, v, cos));
    return whole(e.concat(b, [first, second], last));
  }
  const pairs = b.op(
    "Reshape",
    [turned, b.int64s([...lead.map(() => 0), half, 2])],
    {},
    {
      types: [tensorType(x.dtype, [...lead, half, 2])],
    },
  );
  const [u, v] = [0, 1].map((i) => e.gather(b, pairs, b.scalar(i, "int64"), last + 1)) as [e.V, e.V];
  const first = e.sub(b, e.mul(b, u, cos), e.mul(b, v, sin));
  const second = e.add(b, e.mul(b, u, sin), e.mul(b, v, cos));
  const stacked = e.concat(b, [e.unsqueeze(b, first, [last + 1]), e.unsqueeze(b, second, [last + 1])], last + 1);
  return whole(
    b.op(
      "Reshape",
      [stacked, b.int64s([...lead.map(() => 0), rotated])],
      {},
      {
        types: [tensorType(x.dtype, [...lead, rotated])],
      },
    ),
  );
}
