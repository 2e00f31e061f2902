/** Reading an image between its pixels: what GridSample, RoiAlign and DeformConv share. */
import { tensorType } from "../ir/graph.js";
import { freshDim, isStatic, sizeOf } from "../util/shape.js";
import { spatial } from "./convolution.js";
import * as e from "./emit.js";

/** An image [batch, channels, …spatial] as rows of channels, one for each pixel of each element of the batch. */
export interface Pixels {
  rows: e.V;
  /** Sizes of the spatial axes, int64 vectors of one element. */
  sizes: e.V[];
  /** Rows between neighbours along each spatial axis, and between elements of the batch. */
  strides: e.V[];
  perImage: e.V;
}

export function pixelsOf(b: e.B, x: e.V): Pixels {
  const size = spatial(x);
  const last = e.transpose(b, x, [0, ...size.map((_, i) => i + 2), 1]);
  const [batch, channels] = x.dims;
  const every = [batch ?? 1, ...size];
  const count = isStatic(every) ? sizeOf(every) : freshDim();
  const shape = e.joinConstants(b, [b.int64s([-1]), e.dimOf(b, x, 1)]);
  const sizes = size.map((_, i) => e.dimOf(b, x, i + 2));
  const strides = sizes.map((_, i) => sizes.slice(i + 1).reduce((p, q) => times(b, p, q), b.int64s([1])));
  return {
    rows: e.reshapeTo(b, last, shape, tensorType(x.dtype, [count, channels ?? 1])),
    sizes,
    strides,
    perImage: sizes.reduce((p, q) => times(b, p, q), b.int64s([1])),
  };
}

/** The product of two int64 vectors of one element, a constant where both are. */
function times(b: e.B, p: e.V, q: e.V): e.V {
  const [m, n] = [b.constantOf(p)?.numbers(), b.constantOf(q)?.numbers()];
  return m && n ? b.int64s([(m[0] ?? 1) * (n[0] ?? 1)]) : e.mul(b, p, q);
}

/** The size of a spatial axis as a number of the dtype of `like`. */
export const sizeLike = (b: e.B, pixels: Pixels, axis: number, like: e.V): e.V => {
  const size = pixels.sizes[axis] ?? b.int64s([1]);
  const known = b.constantOf(size)?.numbers()[0];
  return known === undefined ? e.cast(b, e.squeeze(b, size, [0]), like.dtype) : e.scalarLike(b, known, like);
};

/** A place beside the one that is asked for, along one axis, and the weight of what lies there. */
export interface Tap {
  /** Whole numbers in the dtype of the coordinates, which may lie outside. */
  at: e.V;
  /** Null: 1. */
  weight: e.V | null;
}

/** What lies outside of the image: nothing, or the pixel that the place is brought to. */
export type Outside = "zeros" | ((b: e.B, at: e.V, axis: number) => e.V);

/**
 * weight · pixel for every choice of one tap of each axis, with the channels as a new last axis. The taps of an axis and
 * `image`, which says of which element of the batch a place reads (int64), broadcast against those of the others.
 */
export function readEach(
  b: e.B,
  pixels: Pixels,
  image: e.V,
  taps: readonly (readonly Tap[])[],
  outside: Outside,
): e.V[] {
  const places = taps.map((axis, i) => axis.map((tap) => placeOf(b, pixels, tap, i, outside)));
  const base = e.mul(b, image, pixels.perImage);
  return combinations(places).map((corner) => {
    const row = corner.reduce((p, place, i) => e.add(b, p, e.mul(b, place.index, pixels.strides[i] ?? base)), base);
    const read = e.gather(b, pixels.rows, row, 0);
    const [first, ...rest] = corner.flatMap((place) => (place.weight ? [place.weight] : []));
    if (!first) return read;
    const weight = rest.reduce((p, q) => e.mul(b, p, q), first);
    return e.mul(b, read, e.unsqueeze(b, e.cast(b, weight, read.dtype), [weight.dims.length]));
  });
}

/** Σ weight · pixel: the image read between its pixels. */
export const readPixels = (...given: Parameters<typeof readEach>): e.V =>
  readEach(...given).reduce((p, q) => e.add(given[0], p, q));

/** The index along an axis that a tap reads, and its weight: 0 where it reads nothing. */
function placeOf(b: e.B, pixels: Pixels, tap: Tap, axis: number, outside: Outside): { index: e.V; weight: e.V | null } {
  const zero = e.scalarLike(b, 0, tap.at);
  const last = e.shift(b, sizeLike(b, pixels, axis, tap.at), -1);
  const inside = (at: e.V): e.V => e.min(b, e.max(b, at, zero), last);
  if (outside !== "zeros") return { index: e.cast(b, inside(outside(b, tap.at, axis)), "int64"), weight: tap.weight };
  const index = inside(tap.at);
  const there = e.cast(b, e.equal(b, index, tap.at), tap.at.dtype);
  return { index: e.cast(b, index, "int64"), weight: tap.weight ? e.mul(b, tap.weight, there) : there };
}

function combinations<T>(lists: readonly (readonly T[])[]): T[][] {
  return lists.reduce<T[][]>((found, list) => found.flatMap((f) => list.map((t) => [...f, t])), [[]]);
}

/** The two neighbours of a place, weighted by their nearness. */
export function linearTaps(b: e.B, at: e.V): Tap[] {
  const low = b.op("Floor", [at]);
  const beyond = e.sub(b, at, low);
  return [
    { at: low, weight: e.sub(b, e.scalarLike(b, 1, at), beyond) },
    { at: e.shift(b, low, 1), weight: beyond },
  ];
}

/** c₀ + c₁d + c₂d² + c₃d³. */
export const cubic = (b: e.B, d: e.V, [c0 = 0, c1 = 0, c2 = 0, c3 = 0]: readonly number[]): e.V =>
  e.shift(b, e.mul(b, d, e.shift(b, e.mul(b, d, e.shift(b, e.scale(b, d, c3), c2)), c1)), c0);

/**
 * The four neighbours of a place along an axis, relative to the one below it, and Keys' weights there: of `beyond`, how
 * far beyond that one the place lies.
 */
export function cubicWeights(b: e.B, beyond: e.V, a: number): readonly (readonly [number, e.V])[] {
  const rest = e.sub(b, e.scalarLike(b, 1, beyond), beyond);
  const near = [1, 0, -(a + 3), a + 2];
  const far = [-4 * a, 8 * a, -5 * a, a];
  return [
    [-1, cubic(b, e.shift(b, beyond, 1), far)],
    [0, cubic(b, beyond, near)],
    [1, cubic(b, rest, near)],
    [2, cubic(b, e.shift(b, rest, 1), far)],
  ];
}

export function cubicTaps(b: e.B, at: e.V, a: number): Tap[] {
  const low = b.op("Floor", [at]);
  return cubicWeights(b, e.sub(b, at, low), a).map(([offset, weight]) => ({ at: e.shift(b, low, offset), weight }));
}

/** 0, 1, …, n − 1 of the batch of `x`, as [batch, 1]. */
export const eachImage = (b: e.B, x: e.V): e.V =>
  e.unsqueeze(b, e.rangeTo(b, e.squeeze(b, e.dimOf(b, x, 0), [0])), [1]);
