import { int, ints, tensorType, type Node } from "../ir/graph.js";
import { check } from "../util/assert.js";
import { freshDim, isStatic, type Dim, type Shape } from "../util/shape.js";
import * as e from "./emit.js";

/** How a window moves over the spatial axes, as the attributes of Conv, ConvTranspose and the pools say. */
export interface Geometry {
  strides: number[];
  dilations: number[];
  group: number;
  /** Padding before and after each spatial axis: numbers where they are known, else an int64 vector. */
  before: number[] | e.V;
  after: number[] | e.V;
}

/** Spatial dimensions of a [batch, channels, …] value. */
export const spatial = (x: e.V): Shape => x.dims.slice(2);

const filled = (n: number, value: number): number[] => Array<number>(n).fill(value);

export const channelsFirst = (x: e.V): number[] => x.dims.map((_, i) => (i === 0 ? 1 : i === 1 ? 0 : i));

/** Size that the window spans: (k − 1)·dilation + 1 along each axis. */
function extents(node: Node, w: e.V | null, dilations: readonly number[]): number[] {
  const kernel = node.ints("kernel_shape") ?? (w ? spatial(w) : []);
  return kernel.map((k, i) => {
    check(typeof k === "number", () => `${node.label}: automatic padding needs a kernel of known size`);
    return (k - 1) * (dilations[i] ?? 1) + 1;
  });
}

/** The geometry of a Conv or a pool that reads `x`; its padding is worked out where it is automatic. */
export function geometryOf(b: e.B, node: Node, x: e.V, w: e.V | null): Geometry {
  const n = spatial(x).length;
  const strides = node.ints("strides") ?? filled(n, 1);
  const dilations = node.ints("dilations") ?? filled(n, 1);
  const group = node.int("group", 1);
  const auto = node.string("auto_pad", "NOTSET");
  if (!auto.startsWith("SAME")) {
    const pads = (auto === "VALID" ? undefined : node.ints("pads")) ?? filled(2 * n, 0);
    return { strides, dilations, group, before: pads.slice(0, n), after: pads.slice(n) };
  }
  const extent = extents(node, w, dilations);
  const size = spatial(x);
  const upper = auto === "SAME_UPPER";
  if (isStatic(size)) {
    const total = size.map((d, i) => {
      const stride = strides[i] ?? 1;
      return Math.max(0, (Math.ceil(d / stride) - 1) * stride + (extent[i] ?? 1) - d);
    });
    const [less, more] = [total.map((t) => Math.floor(t / 2)), total.map((t) => Math.ceil(t / 2))];
    return { strides, dilations, group, before: upper ? less : more, after: upper ? more : less };
  }
  const [sizes, stride] = [spatialSizes(b, x), b.int64s(strides)];
  const steps = e.div(b, e.sub(b, sizes, b.int64s(filled(n, 1))), stride);
  const reach = e.add(b, e.mul(b, steps, stride), b.int64s(extent));
  const total = e.max(b, e.sub(b, reach, sizes), b.int64s(filled(n, 0)));
  const less = e.div(b, total, b.int64s(filled(n, 2)));
  const more = e.sub(b, total, less);
  return { strides, dilations, group, before: upper ? less : more, after: upper ? more : less };
}

export const spatialSizes = (b: e.B, x: e.V): e.V =>
  e.joinConstants(
    b,
    spatial(x).map((_, i) => e.dimOf(b, x, i + 2)),
  );

/** A vector with a number for each axis, as one vector of one element for each. */
export const elements = (b: e.B, p: number[] | e.V, axes: readonly number[]): e.V[] =>
  axes.map((_, i) => (Array.isArray(p) ? b.int64s([p[i] ?? 0]) : e.slice(b, p, b.int64s([i]), b.int64s([i + 1]), [0])));

/** The geometry with its padding known: `x` itself, or `x` padded at run time. */
function padded(b: e.B, x: e.V, g: Geometry): { x: e.V; pads: number[] } {
  if (Array.isArray(g.before) && Array.isArray(g.after)) return { x, pads: [...g.before, ...g.after] };
  const axes = spatial(x).map((_, i) => i + 2);
  const type = tensorType(x.dtype, [...x.dims.slice(0, 2), ...axes.map(() => freshDim())]);
  return {
    x: e.pad(b, x, elements(b, g.before, axes), elements(b, g.after, axes), axes, type),
    pads: filled(2 * axes.length, 0),
  };
}

/**
 * The adjoint of a convolution in its input: what it read at an offset, this adds to it. `x` gives the shape. A window
 * that did not reach the end of x leaves zeros there.
 */
export function inputCotangent(b: e.B, dy: e.V, w: e.V, x: e.V, g: Geometry): e.V {
  const attributes = { strides: ints(g.strides), dilations: ints(g.dilations), group: int(g.group) };
  const [size, out, kernel] = [spatial(x), spatial(dy), spatial(w)];
  const { before, after } = g;
  if (Array.isArray(before) && Array.isArray(after) && isStatic(size) && isStatic(out) && isStatic(kernel)) {
    const reached = out.map(
      (o, i) =>
        (o - 1) * (g.strides[i] ?? 1) +
        ((kernel[i] ?? 1) - 1) * (g.dilations[i] ?? 1) +
        1 -
        (before[i] ?? 0) -
        (after[i] ?? 0),
    );
    const extra = size.map((d, i) => d - (reached[i] ?? 0));
    if (extra.every((p, i) => p >= 0 && p < (g.strides[i] ?? 1)))
      return b.op(
        "ConvTranspose",
        [dy, w],
        { ...attributes, pads: ints([...before, ...after]), output_padding: ints(extra) },
        { types: [tensorType(dy.dtype, x.shape)] },
      );
  }
  const whole = b.op(
    "ConvTranspose",
    [dy, w],
    { ...attributes, output_padding: ints(g.strides.map((s) => s - 1)) },
    { types: [tensorType(dy.dtype, [...x.dims.slice(0, 2), ...size.map(() => freshDim())])] },
  );
  return cut(b, whole, before, x);
}

/** The part of `whole` that starts at `from` on the spatial axes and has the shape of `like`. */
function cut(b: e.B, whole: e.V, from: number[] | e.V, like: e.V): e.V {
  const axes = spatial(like).map((_, i) => i + 2);
  const starts = Array.isArray(from) ? b.int64s(from) : from;
  const size = spatial(like);
  const ends =
    Array.isArray(from) && isStatic(size)
      ? b.int64s(size.map((d, i) => d + (from[i] ?? 0)))
      : e.add(b, starts, spatialSizes(b, like));
  return e.slice(b, whole, starts, ends, axes, tensorType(whole.dtype, like.shape));
}

/**
 * The adjoint of a convolution in its kernel: the input convolved with the cotangent, batch and channels exchanged, strides
 * and dilations too. `w` gives the shape: [filters, channels a group, …].
 */
export function kernelCotangent(b: e.B, input: e.V, dy: e.V, w: e.V, given: Geometry): e.V {
  const read = whatIsRead(b, input, dy, w, given);
  const g = read?.g ?? given;
  const { x, pads } = padded(b, read?.x ?? input, g);
  const filters = e.transpose(b, dy, channelsFirst(dy));
  const sizes = read ? spatial(w) : spatial(w).map(() => freshDim());
  const result = b.op(
    "Conv",
    [groupedChannels(b, x, g.group), filters],
    { strides: ints(g.dilations), dilations: ints(g.strides), group: int(g.group), pads: ints(pads) },
    { types: [tensorType(dy.dtype, [w.dims[1] ?? 1, w.dims[0] ?? 1, ...sizes])] },
  );
  const whole = e.transpose(b, result, channelsFirst(result));
  if (read) return whole;
  return cut(
    b,
    whole,
    spatial(w).map(() => 0),
    w,
  );
}

/**
 * The input without what no window reads at its end, so that the cotangent lies at as many positions as the kernel has
 * elements; null where sizes are not known. Of what a kernel of one element steps over nothing is left.
 */
function whatIsRead(b: e.B, x: e.V, dy: e.V, w: e.V, g: Geometry): { x: e.V; g: Geometry } | null {
  const [size, out, kernel] = [spatial(x), spatial(dy), spatial(w)];
  const { before, after, strides, dilations } = g;
  if (!Array.isArray(before) || !Array.isArray(after)) return null;
  if (!isStatic(size) || !isStatic(out) || !isStatic(kernel)) return null;
  const at = (values: readonly number[], i: number): number => values[i] ?? 0;
  const pads = size.map((n, i) => {
    const reached = (at(out, i) - 1) * at(strides, i) + (at(kernel, i) - 1) * at(dilations, i) + 1;
    return reached - n - at(before, i);
  });
  if (pads.every((p) => p >= 0)) return { x, g: { ...g, after: pads } };
  const [none, ones] = [size.map(() => 0), size.map(() => 1)];
  const ends = size.map((n, i) => n + Math.min(0, at(pads, i)));
  const isPoint = kernel.every((k) => k === 1) && before.every((p) => p === 0) && pads.every((p) => p <= 0);
  const bounds = [none, ends, size.map((_, i) => i + 2), ...(isPoint ? [strides] : [])];
  const type = tensorType(x.dtype, [...x.dims.slice(0, 2), ...(isPoint ? out : ends)]);
  const read = b.op("Slice", [x, ...bounds.map((v) => b.int64s(v))], {}, { types: [type] });
  const rest = pads.map((p) => Math.max(0, p));
  return { x: read, g: isPoint ? { ...g, strides: ones, dilations: ones, after: none } : { ...g, after: rest } };
}

/** [batch, group·c, …] as [c, group·batch, …]: channels become the batch, group by group. */
function groupedChannels(b: e.B, x: e.V, group: number): e.V {
  if (group === 1) return e.transpose(b, x, channelsFirst(x));
  const [batch, channels] = x.dims;
  const each: Dim = typeof channels === "number" ? channels / group : freshDim();
  const sizes = spatial(x).map((_, i) => e.dimOf(b, x, i + 2));
  const split = e.joinConstants(b, [e.dimOf(b, x, 0), b.int64s([group, -1]), ...sizes]);
  const parts = e.reshapeTo(b, x, split, tensorType(x.dtype, [batch ?? 1, group, each, ...spatial(x)]));
  const turned = e.transpose(b, parts, [2, 1, 0, ...sizes.map((_, i) => i + 3)]);
  const joined: Dim = typeof batch === "number" ? batch * group : freshDim();
  const merged = e.joinConstants(b, [
    typeof each === "number" ? b.int64s([each]) : e.dimOf(b, turned, 0),
    b.int64s([-1]),
    ...sizes,
  ]);
  return e.reshapeTo(b, turned, merged, tensorType(x.dtype, [each, joined, ...spatial(x)]));
}

/** Σ over everything but the channels. */
export const channelSums = (b: e.B, dy: e.V): e.V =>
  e.reduceSum(b, dy, [0, ...spatial(dy).map((_, i) => i + 2)], false);

/** A vector of channels in the shape that broadcasts against `x`. */
export const alongChannels = (b: e.B, v: e.V, x: e.V): e.V =>
  x.dims.length > 2
    ? e.unsqueeze(
        b,
        v,
        spatial(x).map((_, i) => i + 1),
      )
    : v;

/** Tangent of y = s·x̂ + b, s and b of each channel: ẋ̂·s + x̂·ṡ + ḃ in the shape of y; null where nothing moves. */
export function channelAffineJvp(
  b: e.B,
  y: e.V,
  { scale, normalized }: { scale: e.V; normalized: e.V },
  [dnormalized, dscale, dbias]: readonly (e.V | null | undefined)[],
): e.V | null {
  const terms = [
    dnormalized ? e.mul(b, dnormalized, alongChannels(b, scale, y)) : null,
    dscale ? e.mul(b, normalized, alongChannels(b, dscale, y)) : null,
    dbias ? alongChannels(b, dbias, y) : null,
  ].filter((t) => t !== null);
  if (terms.length === 0) return null;
  const sum = terms.reduce((s, t) => e.add(b, s, t));
  return e.expandLike(b, sum, y);
}

/** Tangent of an operator that is linear in input and kernel, each, and adds a bias. */
export function convolutionJvp(b: e.B, node: Node, [dx, dw, db]: readonly (e.V | null)[]): e.V | null {
  const y = node.output();
  const product = (x: e.V, w: e.V, bias: e.V | null): e.V =>
    b.op(node.op as "Conv" | "ConvTranspose", [x, w, bias], node.attributes, { types: [y.type] });
  let sum = dx ? product(dx, node.input(1), db ?? null) : null;
  if (dw) {
    const second = product(node.input(0), dw, sum ? null : (db ?? null));
    sum = sum ? e.add(b, sum, second) : second;
  }
  if (sum || !db) return sum;
  return e.expandLike(b, alongChannels(b, db, y), y);
}
