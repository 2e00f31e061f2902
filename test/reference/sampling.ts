/** Reading between pixels: GridSample, RoiAlign, MaxRoiPool, DeformConv, AffineGrid. */
import { sizeOf } from "../../src/util/shape.js";
import { array, numbersOf, type Array64 } from "./array.js";
import type { Op } from "./call.js";
import { roundEven } from "./special.js";

type Pixel = (index: readonly number[]) => number;

/** Every index of a grid, in row-major order. */
function* indices(dims: readonly number[]): Generator<number[]> {
  for (let flat = 0; flat < sizeOf(dims); flat++) {
    const index: number[] = [];
    for (let rest = flat, i = dims.length - 1; i >= 0; rest = Math.floor(rest / dims[i]!), i--)
      index.unshift(rest % dims[i]!);
    yield index;
  }
}

/** Pixels of one channel of an image; `place` says which pixel an index stands for, null for none. */
const pixelsOf =
  (x: Array64, n: number, c: number, place: (i: number, axis: number) => number | null): Pixel =>
  (index) => {
    const sizes = x.dims.slice(2);
    let at = n * x.dims[1]! + c;
    for (const [axis, i] of index.entries()) {
      const p = place(i, axis);
      if (p === null) return 0;
      at = at * sizes[axis]! + p;
    }
    return x.data[at]!;
  };

const keys = (d: number, a = -0.75): number => {
  const x = Math.abs(d);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
};

/** Σ over neighbours of kernel weights times pixels. */
function interpolate(pixel: Pixel, at: readonly number[], kernel: (d: number) => number, reach: number): number {
  const walk = (axis: number, index: readonly number[]): number => {
    if (axis === at.length) return pixel(index);
    const low = Math.floor(at[axis]!);
    let sum = 0;
    for (let i = low - reach + 1; i <= low + reach; i++) {
      const weight = kernel(at[axis]! - i);
      if (weight !== 0) sum += weight * walk(axis + 1, [...index, i]);
    }
    return sum;
  };
  return walk(0, []);
}

const hat = (d: number): number => Math.max(0, 1 - Math.abs(d));

function reflect(x: number, low: number, high: number): number {
  const range = high - low;
  if (x >= low && x <= high) return x;
  if (range === 0) return low;
  const beyond = x < low ? low - x : x - high;
  const turns = Math.floor(beyond / range);
  const rest = beyond - turns * range;
  const fromLow = x < low === (turns % 2 === 0);
  return fromLow ? low + rest : high - rest;
}

const zeros =
  (sizes: readonly number[]) =>
  (i: number, axis: number): number | null =>
    i >= 0 && i < sizes[axis]! ? i : null;

const clampTo = (i: number, size: number): number => Math.min(Math.max(i, 0), size - 1);

export const gridSample: Op = (c) => {
  const [x, grid] = [c.at(0), c.at(1)];
  const [n, channels, ...sizes] = x.dims as [number, number, ...number[]];
  const out = grid.dims.slice(1, -1);
  const aligned = c.node.int("align_corners", 0) === 1;
  const padding = c.node.string("padding_mode", "zeros");
  const mode = c.node.string("mode", "linear").replace(/^bi/, "");
  const bounds: [number, number][] = sizes.map((d) => (aligned ? [0, d - 1] : [-0.5, d - 0.5]));
  const place = (i: number, axis: number): number | null => {
    if (padding === "zeros") return zeros(sizes)(i, axis);
    if (padding === "border") return clampTo(i, sizes[axis]!);
    return clampTo(Math.trunc(reflect(i, ...bounds[axis]!)), sizes[axis]!);
  };
  const y: number[] = [];
  for (let b = 0; b < n; b++)
    for (let ch = 0; ch < channels; ch++) {
      const pixel = pixelsOf(x, b, ch, place);
      for (let p = 0; p < sizeOf(out); p++) {
        const start = (b * sizeOf(out) + p) * sizes.length;
        const point = grid.data.subarray(start, start + sizes.length);
        const at = sizes.map((d, axis) => {
          const u = point[sizes.length - 1 - axis]!;
          const exact = aligned ? ((u + 1) / 2) * (d - 1) : ((u + 1) * d - 1) / 2;
          const v = mode === "nearest" ? roundEven(exact) : exact;
          const [low, high] = bounds[axis]!;
          if (v >= low && v <= high) return v;
          // The runtime and PyTorch bring the neighbours of a place in, but not the place itself, where they are four.
          if (padding === "border") return mode === "cubic" ? v : clampTo(v, d);
          return padding === "reflection" ? reflect(v, low, high) : v;
        });
        if (mode === "nearest") y.push(pixel(at.map((v) => Math.trunc(v))));
        else y.push(mode === "cubic" ? interpolate(pixel, at, keys, 2) : interpolate(pixel, at, hat, 1));
      }
    }
  return array(x.dtype, [n, channels, ...out], y);
};

export const roiAlign: Op = (c) => {
  const [x, rois, batch] = [c.at(0), c.at(1), c.at(2)];
  const [, channels, height, width] = x.dims as [number, number, number, number];
  const [rows, columns] = [c.node.int("output_height", 1), c.node.int("output_width", 1)];
  const exact = c.node.string("coordinate_transformation_mode", "half_pixel") === "half_pixel";
  const scale = c.node.float("spatial_scale", 1);
  const ratio = c.node.int("sampling_ratio", 0);
  const largest = c.node.string("mode", "avg") === "max";
  const y: number[] = [];
  batch.data.forEach((image, r) => {
    const corner = Array.from({ length: 4 }, (_, i) => rois.data[4 * r + i]! * scale - (exact ? 0.5 : 0));
    const bin = (from: number, to: number, bins: number): number => (exact ? to - from : Math.max(to - from, 1)) / bins;
    const [binY, binX] = [bin(corner[1]!, corner[3]!, rows), bin(corner[0]!, corner[2]!, columns)];
    const count = (size: number): number => Math.max(ratio > 0 ? ratio : Math.ceil(size), 0);
    const [ny, nx] = [count(binY), count(binX)];
    for (let ch = 0; ch < channels; ch++) {
      const pixel = pixelsOf(x, image, ch, (i, axis) => clampTo(i, axis === 0 ? height : width));
      for (let p = 0; p < rows; p++)
        for (let q = 0; q < columns; q++) {
          const terms: number[] = [];
          let sum = 0;
          for (let i = 0; i < ny; i++)
            for (let j = 0; j < nx; j++) {
              const at = [corner[1]! + binY * (p + (i + 0.5) / ny), corner[0]! + binX * (q + (j + 0.5) / nx)];
              const far = at[0]! < -1 || at[0]! > height || at[1]! < -1 || at[1]! > width;
              const inside = [clampTo(at[0]!, height), clampTo(at[1]!, width)];
              const [top, left] = inside.map(Math.floor) as [number, number];
              for (const [k, l] of [
                [top, left],
                [top, left + 1],
                [top + 1, left],
                [top + 1, left + 1],
              ] as const) {
                const term = far ? 0 : hat(inside[0]! - k) * hat(inside[1]! - l) * pixel([k, l]);
                terms.push(term);
                sum += term;
              }
            }
          y.push(largest ? Math.max(...terms) : sum / Math.max(ny * nx, 1));
        }
    }
  });
  return array(x.dtype, [batch.data.length, channels, rows, columns], y);
};

export const maxRoiPool: Op = (c) => {
  const [x, rois] = [c.at(0), c.at(1)];
  const [, channels, height, width] = x.dims as [number, number, number, number];
  const [rows, columns] = c.node.ints("pooled_shape") as [number, number];
  const scale = c.node.float("spatial_scale", 1);
  const y: number[] = [];
  for (let r = 0; r < rois.dims[0]!; r++) {
    const [image, x1, y1, x2, y2] = numbersOf(rois)
      .slice(5 * r, 5 * r + 5)
      .map((v, i) => (i === 0 ? v : Math.round(v * scale))) as [number, number, number, number, number];
    const range = (from: number, to: number, bins: number, at: number, size: number): number[] => {
      const bin = Math.max(to - from + 1, 1) / bins;
      const [first, last] = [Math.floor(at * bin) + from, Math.ceil((at + 1) * bin) + from];
      return Array.from({ length: size }, (_, i) => i).filter((i) => i >= first && i < last);
    };
    for (let ch = 0; ch < channels; ch++) {
      const pixel = pixelsOf(x, image, ch, (i) => i);
      for (let p = 0; p < rows; p++)
        for (let q = 0; q < columns; q++) {
          const found = range(y1, y2, rows, p, height).flatMap((i) =>
            range(x1, x2, columns, q, width).map((j) => pixel([i, j])),
          );
          y.push(found.length > 0 ? Math.max(...found) : 0);
        }
    }
  }
  return array(x.dtype, [rois.dims[0]!, channels, rows, columns], y);
};

export const deformConv: Op = (c) => {
  const [x, w, offset, bias, mask] = [c.at(0), c.at(1), c.at(2), c.maybe(3), c.maybe(4)];
  const [n, channels, height, width] = x.dims as [number, number, number, number];
  const [filters, perGroup, kh, kw] = w.dims as [number, number, number, number];
  const [oh, ow] = offset.dims.slice(2) as [number, number];
  const [groups, parts] = [c.node.int("group", 1), c.node.int("offset_group", 1)];
  const [pads, strides, dilations] = [
    c.node.ints("pads") ?? [0, 0, 0, 0],
    c.node.ints("strides") ?? [1, 1],
    c.node.ints("dilations") ?? [1, 1],
  ];
  const y = new Float64Array(n * filters * oh * ow);
  for (let b = 0; b < n; b++)
    for (let f = 0; f < filters; f++)
      for (let i = 0; i < oh; i++)
        for (let j = 0; j < ow; j++) {
          let sum = bias?.data[f] ?? 0;
          for (let ch = 0; ch < perGroup; ch++) {
            const channel = Math.floor((f * groups) / filters) * perGroup + ch;
            const part = Math.floor((channel * parts) / channels);
            const pixel = pixelsOf(x, b, channel, zeros([height, width]));
            for (let k = 0; k < kh * kw; k++) {
              const place = (which: number): number =>
                offset.data[(((b * parts + part) * kh * kw + k) * 2 + which) * oh * ow + i * ow + j]!;
              const at = [
                i * strides[0]! - pads[0]! + Math.floor(k / kw) * dilations[0]! + place(0),
                j * strides[1]! - pads[1]! + (k % kw) * dilations[1]! + place(1),
              ];
              const weight = mask ? mask.data[((b * parts + part) * kh * kw + k) * oh * ow + i * ow + j]! : 1;
              sum += weight * w.data[(f * perGroup + ch) * kh * kw + k]! * interpolate(pixel, at, hat, 1);
            }
          }
          y[((b * filters + f) * oh + i) * ow + j] = sum;
        }
  return array(x.dtype, [n, filters, oh, ow], y);
};

export const affineGrid: Op = (c) => {
  const [theta, size] = [c.at(0), c.at(1)];
  const [n, , ...sizes] = numbersOf(size) as [number, number, ...number[]];
  const aligned = c.node.int("align_corners", 0) === 1;
  const d = sizes.length;
  const y: number[] = [];
  for (let b = 0; b < n; b++)
    for (const index of indices(sizes)) {
      const point = index.map((i, axis) =>
        aligned ? (2 * i) / (sizes[axis]! - 1) - 1 : (2 * i + 1) / sizes[axis]! - 1,
      );
      const homogeneous = [...point.reverse(), 1];
      for (let row = 0; row < d; row++)
        y.push(homogeneous.reduce((s, p, k) => s + p * theta.data[(b * d + row) * (d + 1) + k]!, 0));
    }
  return array(theta.dtype, [n, ...sizes, d], y);
};
