/** Resize: along each axis on its own, a matrix of interpolation weights. */
import { axesOf, full, lines, numbersOf, type Array64 } from "./array.js";
import type { Call, Op } from "./call.js";

interface Axis {
  size: number;
  out: number;
  scale: number;
  /** Start and end of the region of interest, as fractions. */
  roi: readonly [number, number];
}

/** The place in the input, in elements, that output position `x` looks at. */
function source(mode: string, x: number, { size, out, scale, roi }: Axis): number {
  const length = scale * size;
  switch (mode) {
    case "align_corners":
      return length === 1 ? 0 : (x * (size - 1)) / (length - 1);
    case "asymmetric":
      return x / scale;
    case "tf_crop_and_resize": {
      const [start, end] = roi;
      return length === 1
        ? ((start + end) * (size - 1)) / 2
        : start * (size - 1) + (x * (end - start) * (size - 1)) / (length - 1);
    }
    case "pytorch_half_pixel":
      return out === 1 ? -0.5 : (x + 0.5) / scale - 0.5;
    case "half_pixel_symmetric":
      return (size / 2) * (1 - out / length) + (x + 0.5) / scale - 0.5;
    default:
      return (x + 0.5) / scale - 0.5;
  }
}

function nearest(mode: string, at: number): number {
  switch (mode) {
    case "floor":
      return Math.floor(at);
    case "ceil":
      return Math.ceil(at);
    case "round_prefer_ceil":
      return Math.floor(at + 0.5);
    default:
      return Math.ceil(at - 0.5);
  }
}

const linear = (x: number): number => Math.max(0, 1 - Math.abs(x));

/** Keys' cubic kernel. */
const cubic =
  (a: number) =>
  (x: number): number => {
    const d = Math.abs(x);
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
  };

/** Input positions and weights for output position `x`; null outside of the region. */
function taps(c: Call, axis: Axis, x: number): Map<number, number> | null {
  const transformation = c.node.string("coordinate_transformation_mode", "half_pixel");
  const at = source(transformation, x, axis);
  if (transformation === "tf_crop_and_resize" && (at < 0 || at > axis.size - 1)) return null;
  const inside = (i: number): number => Math.min(Math.max(i, 0), axis.size - 1);
  const mode = c.node.string("mode", "nearest");
  if (mode === "nearest")
    return new Map([[inside(nearest(c.node.string("nearest_mode", "round_prefer_floor"), at)), 1]]);
  const kernel = mode === "linear" ? linear : cubic(c.node.float("cubic_coeff_a", -0.75));
  const shrink = c.node.int("antialias", 0) === 1 ? Math.min(1, axis.scale) : 1;
  const reach = Math.ceil((mode === "linear" ? 1 : 2) / shrink);
  const exclude = c.node.int("exclude_outside", 0) === 1;
  const weights = new Map<number, number>();
  let total = 0;
  for (let i = Math.floor(at) - reach; i <= Math.floor(at) + reach + 1; i++) {
    const weight = exclude && i !== inside(i) ? 0 : kernel((i - at) * shrink);
    total += weight;
    weights.set(inside(i), (weights.get(inside(i)) ?? 0) + weight);
  }
  return new Map([...weights].map(([i, w]) => [i, w / total]));
}

function along(c: Call, x: Array64, at: number, axis: Axis): Array64 {
  if (axis.out === axis.size && axis.scale === 1 && axis.roi[0] === 0 && axis.roi[1] === 1) return x;
  const dims = x.dims.map((d, i) => (i === at ? axis.out : d));
  const y = full(x.dtype, dims, 0);
  const [from, to] = [lines(x.dims, [at]), lines(dims, [at])];
  for (let j = 0; j < axis.out; j++) {
    const weights = taps(c, axis, j);
    from.outer.forEach((o, line) => {
      let sum = weights ? 0 : c.node.float("extrapolation_value", 0);
      for (const [i, w] of weights ?? []) sum += w * x.data[o + from.inner[i]!]!;
      y.data[to.outer[line]! + to.inner[j]!] = sum;
    });
  }
  return y;
}

export const resize: Op = (c) => {
  const x = c.at(0);
  const rank = x.dims.length;
  const axes = axesOf(c.node.ints("axes") ?? [...x.dims.keys()], rank);
  const some = (i: number): number[] | null => {
    const v = c.maybe(i);
    return v && v.data.length > 0 ? numbersOf(v) : null;
  };
  const [roi, sizes] = [some(1), some(3)];
  let scales = some(2) ?? axes.map((a, i) => sizes![i]! / x.dims[a]!);
  let outs = sizes ?? axes.map((a, i) => Math.floor(x.dims[a]! * scales[i]!));
  const policy = c.node.string("keep_aspect_ratio_policy", "stretch");
  if (sizes && policy !== "stretch") {
    const scale = policy === "not_larger" ? Math.min(...scales) : Math.max(...scales);
    scales = axes.map(() => scale);
    outs = axes.map((a) => Math.floor(scale * x.dims[a]! + 0.5));
  }
  let y = x;
  axes.forEach((a, i) => {
    const cropped = c.node.string("coordinate_transformation_mode", "half_pixel") === "tf_crop_and_resize" && roi;
    const region: [number, number] = cropped ? [roi[i]!, roi[axes.length + i]!] : [0, 1];
    y = along(c, y, a, { size: x.dims[a]!, out: outs[i]!, scale: scales[i]!, roi: region });
  });
  return y;
};
