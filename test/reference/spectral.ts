/** Fourier transforms and what goes with them. */
import { normalizeAxis } from "../../src/util/shape.js";
import { array, full, lines, type Array64 } from "./array.js";
import type { Op } from "./call.js";

/** Σ x_j e^(∓2πi jk/n), both parts, for the frequencies k < `kept`. */
function transform(re: number[], im: number[], n: number, kept: number, sign: number): [number, number][] {
  return Array.from({ length: kept }, (_, k) => {
    let [a, b] = [0, 0];
    for (let j = 0; j < Math.min(n, re.length); j++) {
      const angle = (sign * 2 * Math.PI * ((j * k) % n)) / n;
      a += re[j]! * Math.cos(angle) - im[j]! * Math.sin(angle);
      b += re[j]! * Math.sin(angle) + im[j]! * Math.cos(angle);
    }
    return [a, b];
  });
}

interface Options {
  length: number | undefined;
  inverse: boolean;
  onesided: boolean;
}

function dftAlong(x: Array64, axis: number, { length, inverse, onesided }: Options): Array64 {
  const parts = x.dims.at(-1)!;
  const size = x.dims[axis]!;
  const real = inverse && onesided;
  const n = length ?? (real ? 2 * (size - 1) : size);
  const kept = onesided && !inverse ? Math.floor(n / 2) + 1 : n;
  const last = x.dims.length - 1;
  const dims = x.dims.map((d, i) => (i === axis ? kept : i === last ? (real ? 1 : 2) : d));
  const y = full(x.dtype, dims, 0);
  const [from, to] = [lines(x.dims, [axis, last]), lines(dims, [axis, last])];
  from.outer.forEach((o, line) => {
    const at = (j: number, part: number): number => (part < parts ? x.data[o + from.inner[j * parts + part]!]! : 0);
    let re = Array.from({ length: size }, (_, j) => at(j, 0));
    let im = Array.from({ length: size }, (_, j) => at(j, 1));
    if (real) {
      // The other half is the conjugate; of frequencies that are their own conjugates only the real part counts.
      const half = Math.floor(n / 2) + 1;
      const given = (v: number[], k: number): number => (k < half ? (v[k] ?? 0) : 0);
      const [r, i] = [re, im];
      re = Array.from({ length: n }, (_, k) => (k < half ? given(r, k) : given(r, n - k)));
      im = Array.from({ length: n }, (_, k) =>
        k === 0 || 2 * k === n ? 0 : k < half ? given(i, k) : -given(i, n - k),
      );
    }
    transform(re, im, n, kept, inverse ? 1 : -1).forEach((pair, k) => {
      for (let part = 0; part < dims[last]!; part++)
        y.data[to.outer[line]! + to.inner[k * dims[last]! + part]!] = pair[part]! / (inverse ? n : 1);
    });
  });
  return y;
}

const dft: Op = (c) => {
  const x = c.at(0);
  const axis = normalizeAxis(c.maybe(2)?.data[0] ?? c.node.int("axis", c.opset < 20 ? 1 : -2), x.dims.length);
  return dftAlong(x, axis, {
    length: c.maybe(1)?.data[0],
    inverse: c.node.int("inverse", 0) === 1,
    onesided: c.node.int("onesided", 0) === 1,
  });
};

const stft: Op = (c) => {
  const [signal, step, window] = [c.at(0), c.at(1).data[0]!, c.maybe(2)];
  const [batch, size, parts] = signal.dims as [number, number, number];
  const length = c.maybe(3)?.data[0] ?? window?.dims[0] ?? size;
  const frames = 1 + Math.floor((size - length) / step);
  const framed: number[] = [];
  for (let b = 0; b < batch; b++)
    for (let f = 0; f < frames; f++)
      for (let j = 0; j < length; j++)
        for (let p = 0; p < parts; p++)
          framed.push(signal.data[(b * size + f * step + j) * parts + p]! * (window?.data[j] ?? 1));
  const x = array(signal.dtype, [batch, frames, length, parts], framed);
  return dftAlong(x, 2, { length: undefined, inverse: false, onesided: c.node.int("onesided", 1) === 1 });
};

const melWeightMatrix: Op = (c) => {
  const [bins, length, rate, low, high] = [0, 1, 2, 3, 4].map((i) => c.at(i).data[0]!) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const mel = (hertz: number): number => (2595 * Math.log1p(hertz / 700)) / Math.LN10;
  const step = (mel(high) - mel(low)) / (bins + 2);
  const edges = Array.from({ length: bins + 2 }, (_, i) => {
    const hertz = 700 * Math.expm1(((i * step + mel(low)) / 2595) * Math.LN10);
    return Math.floor(((length + 1) * hertz) / rate);
  });
  const rows = Math.floor(length / 2) + 1;
  const y = new Float64Array(rows * bins);
  for (let i = 0; i < bins; i++) {
    const [a, b, d] = edges.slice(i, i + 3) as [number, number, number];
    if (a === b) y[b * bins + i] = 1;
    else for (let j = a; j <= b; j++) y[j * bins + i] = (j - a) / (b - a);
    for (let j = b; j < d; j++) y[j * bins + i] = (d - j) / (d - b);
  }
  return array(c.at(3).dtype, [rows, bins], y);
};

export const spectral: Readonly<Record<string, Op>> = { DFT: dft, STFT: stft, MelWeightMatrix: melWeightMatrix };
