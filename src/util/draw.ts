import { invariant } from "./assert.js";
import { streamState } from "./rng.js";

export type Distribution = "normal" | "rademacher" | "uniform" | "bernoulli" | "bits";

/** Arrays that can be drawn into: floats for every distribution, bytes for keep masks, 64-bit integers for bits (seeds). */
export type Drawable =
  Float32Array | Float64Array | Uint8Array | Int32Array | Uint32Array | BigInt64Array | BigUint64Array;

/** Names one draw: equal keys give equal values, whatever was drawn before; different keys independent ones. */
export type StreamKey = readonly (number | string)[];

/**
 * Random 32-bit words of one stream: xoshiro128++ (Blackman & Vigna 2021), its state hashed from the key. Words are made a
 * block at a time, which keeps the generator's state in registers: 3 ns a word.
 */
class Words {
  /** Words of the stream, of which the first `used` are gone. */
  readonly block = new Int32Array(1024);
  used = 1024;
  private readonly state: Int32Array;

  constructor(key: StreamKey) {
    this.state = Int32Array.from(streamState(key));
  }

  /** A signed integer. */
  next(): number {
    if (this.used === 1024) this.refill();
    return this.block[this.used++] as number;
  }

  /** A number within (0, 1). */
  unit(): number {
    return ((this.next() >>> 0) + 0.5) * 2 ** -32;
  }

  private refill(): void {
    const { block, state } = this;
    let [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = state;
    for (let i = 0; i < 1024; i++) {
      const sum = (s0 + s3) | 0;
      block[i] = ((sum << 7) | (sum >>> 25)) + s0;
      const t = s1 << 9;
      s2 ^= s0;
      s3 ^= s1;
      s1 ^= s2;
      s0 ^= s3;
      s2 ^= t;
      s3 = (s3 << 11) | (s3 >>> 21);
    }
    state.set([s0, s1, s2, s3]);
    this.used = 0;
  }
}

/** Fills `out` with independent draws of the stream `key`; `p` is the probability of a 1 (bernoulli only). */
export function draw(out: Drawable, distribution: Distribution, key: StreamKey, p = 0.5): void {
  const words = new Words(key);
  if (distribution === "bits") return fillBits(out, words);
  invariant(
    !(out instanceof BigInt64Array || out instanceof BigUint64Array),
    `${distribution} draws of 64-bit integers`,
  );
  switch (distribution) {
    case "normal":
      return fillNormal(out, words);
    case "rademacher":
      return fillSigns(out, words);
    case "uniform":
      for (let i = 0; i < out.length; i++) out[i] = (words.next() >>> 8) * 2 ** -24;
      return;
    case "bernoulli": {
      // A word is below the threshold in a fraction of cases that differs from p by less than 2⁻³².
      const threshold = p * 2 ** 32 - 2 ** 31;
      for (let i = 0; i < out.length; i++) out[i] = words.next() < threshold ? 1 : 0;
    }
  }
}

/** −1 or 1, each with probability ½: 32 signs a word. */
function fillSigns(out: Exclude<Drawable, BigInt64Array | BigUint64Array>, words: Words): void {
  for (let i = 0; i < out.length;) {
    let word = words.next();
    for (const end = Math.min(out.length, i + 32); i < end; i++) {
      out[i] = 1 - ((word & 1) << 1);
      word >>= 1;
    }
  }
}

function fillBits(out: Drawable, words: Words): void {
  const view = new Uint32Array(out.buffer, out.byteOffset, out.byteLength >>> 2);
  for (let i = 0; i < view.length; i++) view[i] = words.next();
  const rest = new Uint8Array(out.buffer, out.byteOffset + view.byteLength, out.byteLength - view.byteLength);
  for (let i = 0; i < rest.length; i++) rest[i] = words.next() >>> 24;
}

const layers = 256;
const zigguratScale = 2 ** 23;

/** Tables of a ziggurat of 256 layers of equal area; `r` starts the tail, `area` is a layer's (Marsaglia & Tsang 2000). */
const ziggurat = (() => {
  const r = 3.6541528853610088;
  const area = 0.00492867323399;
  const density = (x: number) => Math.exp(-0.5 * x * x);
  const x = new Float64Array(layers + 1);
  x[0] = area / density(r);
  x[1] = r;
  for (let i = 2; i < layers; i++) {
    const before = x[i - 1] as number;
    x[i] = Math.sqrt(-2 * Math.log(area / before + density(before)));
  }
  const width = x.map((v) => v / zigguratScale);
  const inside = Float64Array.from(
    { length: layers },
    (_, i) => (zigguratScale * (x[i + 1] as number)) / (x[i] as number),
  );
  return { r, width, inside, density: x.map(density) };
})();

/**
 * Standard normal values by the ziggurat method: 8 bits of a word choose the layer, the other 24 the place in it (shared bits
 * would correlate the two: Doornik 2005), which is the resolution of float32.
 */
function fillNormal(out: Exclude<Drawable, BigInt64Array | BigUint64Array>, words: Words): void {
  for (let i = fillInside(out, 0, words); i < out.length; i = fillInside(out, i + 1, words)) {
    const word = words.next();
    out[i] = outside(word & 255, placeOf(word), words);
  }
}

/** Place in its layer; the half makes the 2²⁴ places symmetric about zero. */
const placeOf = (word: number): number => (word >> 8) + 0.5;

/**
 * Values of `out` from `start` on, one a word, up to a word that falls outside of its layer's inner rectangle, or the end of the block;
 * where they end. A loop of its own that calls nothing: with the other cases in it, it takes half as long again.
 */
function fillInside(out: Exclude<Drawable, BigInt64Array | BigUint64Array>, start: number, words: Words): number {
  const { width, inside } = ziggurat;
  const { block } = words;
  let [at, from] = [start, words.used];
  for (const end = Math.min(block.length, from + out.length - start); from < end; from++, at++) {
    const word = block[from] as number;
    const layer = word & 255;
    const place = placeOf(word);
    if (!(Math.abs(place) < (inside[layer] as number))) break;
    out[at] = place * (width[layer] as number);
  }
  words.used = from;
  return at;
}

/** The 1.5 % of cases that fall outside of a layer's inner rectangle: the wedge, the tail, or another try. */
function outside(firstLayer: number, firstPlace: number, words: Words): number {
  const { r, width, inside, density } = ziggurat;
  for (let layer = firstLayer, place = firstPlace; ;) {
    const x = place * (width[layer] as number);
    if (Math.abs(place) < (inside[layer] as number)) return x;
    if (layer === 0) {
      for (;;) {
        const beyond = -Math.log(words.unit()) / r;
        if (-2 * Math.log(words.unit()) >= beyond * beyond) return place < 0 ? -r - beyond : r + beyond;
      }
    }
    const low = density[layer] as number;
    const high = density[layer + 1] as number;
    if (low + words.unit() * (high - low) < Math.exp(-0.5 * x * x)) return x;
    const word = words.next();
    layer = word & 255;
    place = placeOf(word);
  }
}
