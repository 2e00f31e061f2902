import { expect } from "chai";
import { draw, type Distribution, type StreamKey } from "../../src/util/draw.js";

const n = 1 << 20;

function drawn(distribution: Distribution, key: StreamKey, p?: number): Float64Array {
  const out = new Float64Array(n);
  draw(out, distribution, key, p);
  return out;
}

/** Asserts that the mean of `f` over the sample is `expected`, within 4.5 of its standard errors. */
function meanIs(sample: Float64Array, f: (x: number, i: number) => number, expected: number, what: string): void {
  let sum = 0;
  let squares = 0;
  sample.forEach((x, i) => {
    const y = f(x, i);
    sum += y;
    squares += y * y;
  });
  const mean = sum / sample.length;
  const error = Math.sqrt((squares / sample.length - mean * mean) / sample.length);
  expect(Math.abs(mean - expected), `${what}: ${mean}, ${expected} expected, standard error ${error}`).to.be.at.most(
    4.5 * error + 1e-12,
  );
}

describe("draw", () => {
  it("normal: moments, tails and independence of neighbours", () => {
    const x = drawn("normal", [1, "z/w", 0]);
    [0, 1, 0, 3, 0, 15].forEach((moment, k) => meanIs(x, (v) => v ** (k + 1), moment, `moment ${k + 1}`));
    // Upper tail probabilities, inside the layers, at the border of the ziggurat's tail, and beyond it.
    const tails: [number, number][] = [
      [0.5, 0.3085375387259869],
      [2, 0.022750131948179195],
      [3.6541528853610088, 0.000129021],
      [4, 3.1671241833119857e-5],
    ];
    for (const [limit, probability] of tails) {
      meanIs(x, (v) => Number(v > limit), probability, `P(x > ${limit})`);
      meanIs(x, (v) => Number(v < -limit), probability, `P(x < -${limit})`);
    }
    meanIs(x, (v, i) => v * (x[i - 1] ?? 0), 0, "correlation of neighbours");
    meanIs(x, (v, i) => (v * v - 1) * ((x[i - 1] ?? 1) ** 2 - 1), 0, "correlation of neighbouring squares");
  });

  it("normal: equal to its density in 64 bins (chi squared)", () => {
    const x = drawn("normal", ["chi", 7]);
    const uniform = new Float64Array(64);
    for (const v of x) uniform[Math.min(63, Math.floor(64 * cdf(v)))]! += 1;
    const expected = n / 64;
    const chi = uniform.reduce((s, c) => s + (c - expected) ** 2 / expected, 0);
    // 63 degrees of freedom: mean 63, standard deviation √126; the bound is 4.5 of these.
    expect(chi).to.be.below(63 + 4.5 * Math.sqrt(126));
  });

  it("rademacher, uniform, bernoulli: values, moments, independence", () => {
    const signs = drawn("rademacher", ["s"]);
    expect(new Set(signs)).to.deep.equal(new Set([-1, 1]));
    meanIs(signs, (v) => v, 0, "mean");
    for (const lag of [1, 2, 31, 32]) meanIs(signs, (v, i) => v * (signs[i - lag] ?? 0), 0, `lag ${lag}`);
    const uniform = drawn("uniform", ["u"]);
    expect(uniform.every((v) => v >= 0 && v < 1)).to.equal(true);
    [1, 2, 3].forEach((k) => meanIs(uniform, (v) => v ** k, 1 / (k + 1), `moment ${k}`));
    for (const p of [0, 0.1, 0.9, 1]) {
      const keep = drawn("bernoulli", ["b", p], p);
      expect(keep.every((v) => v === 0 || v === 1)).to.equal(true);
      meanIs(keep, (v) => v, p, `p = ${p}`);
    }
  });

  it("bits: every bit of every width is a fair coin", () => {
    for (const out of [new Uint8Array(4099), new BigInt64Array(1025), new Int32Array(1025)]) {
      draw(out, "bits", ["bits", out.constructor.name]);
      const bytes = new Uint8Array(out.buffer);
      for (let bit = 0; bit < 8; bit++) {
        const ones = bytes.reduce((s, b) => s + ((b >> bit) & 1), 0);
        expect(Math.abs(ones - bytes.length / 2)).to.be.below(4.5 * Math.sqrt(bytes.length / 4));
      }
    }
  });

  it("depends on the key alone, and on all of it", () => {
    const key = [3, "z/w", 12, 0];
    const a = drawn("normal", key);
    drawn("uniform", ["something else"]);
    expect(drawn("normal", key)).to.deep.equal(a);
    for (const other of [
      [4, "z/w", 12, 0],
      [3, "z/v", 12, 0],
      [3, "z/w", 13, 0],
      [3, "z/w", 12, 1],
    ]) {
      const b = drawn("normal", other);
      meanIs(a, (v, i) => v * b[i]!, 0, `correlation with key ${other.join()}`);
    }
    const short = new Float32Array(1000);
    draw(short, "normal", key);
    expect(short).to.deep.equal(Float32Array.from(a.subarray(0, 1000)));
  });
});

/** Standard normal distribution function; the error of this erfc is below 1.2e-7 (Numerical Recipes). */
function cdf(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 1 / (1 + 0.5 * z);
  const c = [
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223,
    0.17087277,
  ];
  const erfc = t * Math.exp(-z * z + c.reduceRight((s, v) => s * t + v, 0));
  return x > 0 ? 1 - erfc / 2 : erfc / 2;
}
