import { float, int, ints, string, type Node } from "../ir/graph.js";
import { check } from "../util/assert.js";
import { normalizeAxis } from "../util/shape.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import type { OpRule, SampleInput } from "./rule.js";

/** Sizes and the scale of one axis, as scalars of the dtype of the coordinates. */
interface Axis {
  size: e.V;
  out: e.V;
  scale: e.V;
  /** Start and end of the region that is cropped and resized, in units of the axis; null where that is all of it. */
  region: readonly [start: e.V, end: e.V] | null;
}

/** The transformation of coordinates that looks at a region alone, and gives a number of its own outside of the input. */
const cropping = "tf_crop_and_resize";
const transformation = (node: Node): string => node.string("coordinate_transformation_mode", "half_pixel");

const scalar = (b: e.B, vector: e.V, like: e.V): e.V => e.cast(b, e.squeeze(b, vector, [0]), like.dtype);

/** Input `i`, where it is there and not empty, as older opsets leave it. */
function given(node: Node, i: number): e.V | null {
  const v = node.inputs[i];
  return v && v.shape?.[0] !== 0 ? v : null;
}

/** The place in the input that each output position looks at. */
function coordinates(b: e.B, node: Node, { size, out, scale, region }: Axis, dim: e.V): e.V {
  const at = e.cast(b, e.rangeTo(b, e.squeeze(b, dim, [0])), size.dtype);
  const mode = transformation(node);
  const halfPixel = (): e.V => e.shift(b, e.div(b, e.shift(b, at, 0.5), scale), -0.5);
  if (mode === "asymmetric") return e.div(b, at, scale);
  const steps = e.shift(b, e.mul(b, scale, size), -1);
  const single = e.equal(b, steps, e.scalarLike(b, 0, steps));
  const acrossCorners = (): e.V => {
    const safe = e.where(b, single, e.scalarLike(b, 1, steps), steps);
    return e.div(b, e.mul(b, at, e.shift(b, size, -1)), safe);
  };
  if (mode === "align_corners" || (mode === cropping && !region)) return acrossCorners();
  if (mode === cropping && region) {
    const [start, end] = region;
    const last = e.shift(b, size, -1);
    const across = e.add(b, e.mul(b, start, last), e.mul(b, acrossCorners(), e.sub(b, end, start)));
    return e.where(b, single, e.scale(b, e.mul(b, e.add(b, start, end), last), 0.5), across);
  }
  if (mode === "half_pixel_symmetric") {
    const missing = e.sub(b, e.scalarLike(b, 1, out), e.div(b, out, e.mul(b, scale, size)));
    return e.add(b, halfPixel(), e.scale(b, e.mul(b, size, missing), 0.5));
  }
  if (mode === "pytorch_half_pixel") {
    const one = e.equal(b, out, e.scalarLike(b, 1, out));
    return e.where(b, one, e.scalarLike(b, -0.5, out), halfPixel());
  }
  check(mode === "half_pixel", () => `${node.label}: coordinates by ${mode} are not known here`);
  return halfPixel();
}

function nearest(b: e.B, node: Node, at: e.V): e.V {
  switch (node.string("nearest_mode", "round_prefer_floor")) {
    case "floor":
      return b.op("Floor", [at]);
    case "ceil":
      return b.op("Ceil", [at]);
    case "round_prefer_ceil":
      return b.op("Floor", [e.shift(b, at, 0.5)]);
    default:
      return b.op("Ceil", [e.shift(b, at, -0.5)]);
  }
}

/** Σ c₀ + c₁d + c₂d² + c₃d³. */
const cubic = (b: e.B, d: e.V, [c0 = 0, c1 = 0, c2 = 0, c3 = 0]: readonly number[]): e.V =>
  e.shift(b, e.mul(b, d, e.shift(b, e.mul(b, d, e.shift(b, e.scale(b, d, c3), c2)), c1)), c0);

/** Keys' kernel: its polynomials in the distance, below 1 and from there to 2. */
function keys(node: Node): readonly [near: readonly number[], far: readonly number[]] {
  const a = node.float("cubic_coeff_a", -0.75);
  return [
    [1, 0, -(a + 3), a + 2],
    [-4 * a, 8 * a, -5 * a, a],
  ];
}

/** Places relative to the one below `at`, and the weight there: of `f`, how far beyond it `at` lies. */
function taps(b: e.B, node: Node, f: e.V): readonly (readonly [number, e.V])[] {
  const rest = e.sub(b, e.scalarLike(b, 1, f), f);
  if (node.string("mode", "nearest") === "linear")
    return [
      [0, rest],
      [1, f],
    ];
  const [near, far] = keys(node);
  return [
    [-1, cubic(b, e.shift(b, f, 1), far)],
    [0, cubic(b, f, near)],
    [1, cubic(b, rest, near)],
    [2, cubic(b, e.shift(b, rest, 1), far)],
  ];
}

/** A vector along dimension `axis` of `x`. */
function alongAxis(b: e.B, vector: e.V, x: e.V, axis: number): e.V {
  const following = Array.from({ length: x.dims.length - 1 - axis }, (_, i) => i + 1);
  return following.length > 0 ? e.unsqueeze(b, vector, following) : vector;
}

/** The kernel at a distance. */
function kernel(b: e.B, node: Node, distance: e.V): e.V {
  const zero = e.scalarLike(b, 0, distance);
  const within = (limit: number): e.V => e.less(b, distance, e.scalarLike(b, limit, distance));
  if (node.string("mode") === "linear") return e.max(b, e.sub(b, e.scalarLike(b, 1, distance), distance), zero);
  const [near, far] = keys(node).map((polynomial) => cubic(b, distance, polynomial)) as [e.V, e.V];
  return e.where(b, within(1), near, e.where(b, within(2), far, zero));
}

/** `x` resized along an axis that may shrink: the kernel is stretched over all places that an output stands for. */
function smoothed(b: e.B, node: Node, x: e.V, axis: number, { size, scale }: Axis, at: e.V): e.V {
  const stretch = e.min(b, scale, e.scalarLike(b, 1, scale));
  const support = e.scalarLike(b, node.string("mode") === "linear" ? 1 : 2, scale);
  const reach = e.shift(b, b.op("Ceil", [e.div(b, support, stretch)]), 1);
  const count = e.cast(b, e.add(b, size, e.scale(b, reach, 2)), "int64");
  const places = e.sub(b, e.cast(b, e.rangeTo(b, count), size.dtype), reach);
  const [zero, last] = [e.scalarLike(b, 0, size), e.shift(b, size, -1)];
  const distance = e.abs(b, e.sub(b, e.unsqueeze(b, places, [0]), e.unsqueeze(b, at, [1])));
  const all = kernel(b, node, e.mul(b, distance, stretch));
  const beyond = e.or(b, e.less(b, places, zero), e.greater(b, places, last));
  const weights = node.int("exclude_outside", 0) !== 0 ? e.where(b, beyond, zero, all) : all;
  const shares = e.cast(b, e.div(b, weights, e.reduceSum(b, weights, [1])), x.dtype);
  const wide = e.gather(b, x, e.cast(b, e.min(b, e.max(b, places, zero), last), "int64"), axis);
  const perm = x.dims.map((_, i) => i);
  [perm[axis], perm[perm.length - 1]] = [perm.length - 1, axis];
  return e.transpose(b, e.matmul(b, e.transpose(b, wide, perm), e.transposeLast(b, shares)), perm);
}

/** `x` resized along one axis. */
function along(b: e.B, node: Node, x: e.V, axis: number, given: Axis, dim: e.V): e.V {
  const at = coordinates(b, node, given, dim);
  const isSmoothed = node.int("antialias", 0) !== 0 && node.string("mode", "nearest") !== "nearest";
  const y = isSmoothed ? smoothed(b, node, x, axis, given, at) : gathered(b, node, x, axis, given, at);
  if (transformation(node) !== cropping || !given.region) return y;
  const outside = e.or(b, e.less(b, at, e.scalarLike(b, 0, at)), e.greater(b, at, e.shift(b, given.size, -1)));
  const constant = e.scalarLike(b, node.float("extrapolation_value", 0), y);
  return e.where(b, alongAxis(b, outside, y, axis), constant, y);
}

/** `x` resized along one axis: a weighted sum of gathered slices. */
function gathered(b: e.B, node: Node, x: e.V, axis: number, given: Axis, at: e.V): e.V {
  const last = e.shift(b, given.size, -1);
  const zero = e.scalarLike(b, 0, at);
  const slices = (place: e.V): e.V => e.gather(b, x, e.cast(b, e.min(b, e.max(b, place, zero), last), "int64"), axis);
  if (node.string("mode", "nearest") === "nearest") return slices(nearest(b, node, at));
  const base = b.op("Floor", [at]);
  const outside = node.int("exclude_outside", 0) !== 0;
  let total: e.V | null = null;
  let sum: e.V | null = null;
  for (const [offset, tap] of taps(b, node, e.sub(b, at, base))) {
    const place = e.shift(b, base, offset);
    const beyond = outside ? e.or(b, e.less(b, place, zero), e.greater(b, place, last)) : null;
    const weight = beyond ? e.where(b, beyond, zero, tap) : tap;
    const column = alongAxis(b, weight, x, axis);
    const term = e.mul(b, slices(place), e.cast(b, column, x.dtype));
    sum = sum ? e.add(b, sum, term) : term;
    total = total ? e.add(b, total, column) : column;
  }
  if (!sum || !total) return x;
  return outside ? e.div(b, sum, e.cast(b, total, x.dtype)) : sum;
}

const element = (b: e.B, v: e.V, i: number): e.V => e.slice(b, v, b.int64s([i]), b.int64s([i + 1]), [0]);

/** Start and end of axis `i` of `count`; null where that is known to be all of it. */
function regionOf(b: e.B, roi: e.V, i: number, count: number, like: e.V): Axis["region"] {
  const known = b.constantOf(roi)?.numbers();
  if (known?.[i] === 0 && known[count + i] === 1) return null;
  return [scalar(b, element(b, roi, i), like), scalar(b, element(b, roi, count + i), like)];
}

/** The one scale of all axes, where the aspect is kept: the least or the largest that the sizes ask for. */
function sharedScale(b: e.B, node: Node, sizes: e.V, axes: readonly number[], like: e.V): e.V | null {
  const policy = node.string("keep_aspect_ratio_policy", "stretch");
  if (policy === "stretch") return null;
  const ratios = axes.map((axis, i) =>
    e.div(b, scalar(b, element(b, sizes, i), like), scalar(b, e.dimOf(b, node.input(0), axis), like)),
  );
  return ratios.reduce((p, q) => (policy === "not_larger" ? e.min(b, p, q) : e.max(b, p, q)));
}

/** y = x resized along each axis on its own: linear in x. Sizes and scales may be known only at run time. */
export const rule: OpRule<"Resize"> = composite({
  op: "Resize",
  since: 19,
  decompose: (b, node) => {
    const [x, y] = [node.input(0), node.output()];
    const [roi, scales, sizes] = [
      transformation(node) === cropping ? given(node, 1) : null,
      given(node, 2),
      given(node, 3),
    ];
    const rank = x.dims.length;
    const axes = (node.ints("axes") ?? Array.from({ length: rank }, (_, i) => i)).map((a) => normalizeAxis(a, rank));
    const like = e.scalarLike(b, 0, x.dtype === "float64" ? x : b.scalar(0));
    const shared = sizes && sharedScale(b, node, sizes, axes, like);
    const known = scales && b.constantOf(scales)?.numbers();
    let result = x;
    axes.forEach((axis, i) => {
      const region = roi && regionOf(b, roi, i, axes.length, like);
      if (!region && (known?.[i] === 1 || (sizes && !shared && x.dims[axis] === y.dims[axis]))) return;
      const dim = e.dimOf(b, y, axis);
      const [size, out] = [scalar(b, e.dimOf(b, x, axis), like), scalar(b, dim, like)];
      const scale = shared ?? (scales ? scalar(b, element(b, scales, i), like) : e.div(b, out, size));
      result = along(b, node, result, axis, { size, out, scale, region }, dim);
    });
    return [result];
  },
  samples: [
    { name: "nearest, scales", inputs: [x(1, 2, 2, 3), null, scales(1, 1, 2, 1.5)] },
    {
      name: "nearest, asymmetric, floor, sizes",
      inputs: [x(1, 1, 3, 4), null, null, sizes(1, 1, 5, 2)],
      attributes: { coordinate_transformation_mode: string("asymmetric"), nearest_mode: string("floor") },
    },
    {
      name: "linear, larger",
      inputs: [x(1, 2, 2, 3), null, scales(1, 1, 2, 2)],
      attributes: { mode: string("linear") },
    },
    {
      name: "linear, corners aligned, sizes",
      inputs: [x(1, 1, 4, 3), null, null, sizes(1, 1, 3, 5)],
      attributes: { mode: string("linear"), coordinate_transformation_mode: string("align_corners") },
    },
    {
      name: "nearest, the aspect kept",
      inputs: [x(1, 1, 2, 4), null, null, sizes(4, 6)],
      attributes: { keep_aspect_ratio_policy: string("not_larger"), axes: ints([2, 3]) },
    },
    {
      name: "cubic",
      inputs: [x(1, 1, 4, 4), null, scales(1, 1, 1.5, 1)],
      attributes: { mode: string("cubic"), cubic_coeff_a: float(-0.5), exclude_outside: int(1) },
    },
    {
      name: "linear, smaller, smoothed",
      inputs: [x(1, 2, 5, 4), null, null, sizes(1, 2, 2, 3)],
      attributes: { mode: string("linear"), antialias: int(1) },
    },
    {
      name: "cubic, smaller, smoothed, within",
      inputs: [x(1, 1, 7, 3), null, scales(1, 1, 0.6, 1.5)],
      attributes: { mode: string("cubic"), antialias: int(1), exclude_outside: int(1) },
    },
    {
      name: "linear, a region cropped",
      inputs: [x(1, 1, 4, 4), region(0, 0, 0.4, 0.6, 1, 1, 0.6, 1.7), null, sizes(1, 1, 3, 5)],
      attributes: {
        mode: string("linear"),
        coordinate_transformation_mode: string("tf_crop_and_resize"),
        extrapolation_value: float(3),
      },
    },
    {
      name: "linear as PyTorch's half pixels",
      inputs: [x(1, 1, 3, 3), null, null, sizes(1, 1, 1, 4)],
      attributes: { mode: string("linear"), coordinate_transformation_mode: string("pytorch_half_pixel") },
    },
  ],
});

function x(...shape: number[]): SampleInput {
  return { shape };
}

function region(...values: number[]): SampleInput {
  return { shape: [values.length], values, dtype: "float32", constant: true };
}

function scales(...values: number[]): SampleInput {
  return { shape: [values.length], values, dtype: "float32", constant: true };
}

function sizes(...values: number[]): SampleInput {
  return { shape: [values.length], values, dtype: "int64", constant: true };
}
