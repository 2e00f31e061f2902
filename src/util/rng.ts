import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import { check } from "./assert.js";

const states = 4;

/** One round of murmur3: mixes `word` into `hash`. */
function mix(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const h = hash ^ k;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

function finalize(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** 128 bits of generator state, never all zero, that depend on every part of the key. */
export function streamState(key: readonly (number | string)[]): number[] {
  const words: number[] = [];
  for (const part of key) {
    if (typeof part === "number") {
      const halves = new Int32Array(new Float64Array([part]).buffer);
      words.push(0, ...halves);
    } else {
      words.push(part.length + 1, ...Array.from(part, (c) => c.codePointAt(0) ?? 0));
    }
  }
  const state = Array.from({ length: states }, (_, lane) =>
    finalize(words.reduce(mix, Math.imul(lane + 1, 0x9e3779b9)) ^ words.length),
  );
  return state.some((word) => word !== 0) ? state : [1, 0, 0, 0];
}

/**
 * A seeded generator (xoroshiro128+) whose state is plain numbers, so that a checkpoint resumes it bit for bit.
 *
 * `new Rng(seed, "shuffle", epoch)` is a stream of its own for each key: what is drawn from a step's own stream needs no
 * state in a checkpoint at all.
 */
export class Rng {
  #generator;

  constructor(...key: (number | string)[]) {
    this.#generator = xoroshiro128plusFromState(streamState(key));
  }

  /** The four words to hand to `restore`. */
  state(): number[] {
    return [...this.#generator.getState()];
  }

  restore(state: unknown): void {
    check(
      Array.isArray(state) && state.length === states && state.every((word) => Number.isInteger(word)),
      "the saved state of a random generator is damaged: expected four integers",
    );
    this.#generator = xoroshiro128plusFromState(state as number[]);
  }

  /** 32 random bits, as a signed integer. */
  bits(): number {
    return this.#generator.next();
  }

  /** Uniform over 0, 1, …, n − 1. */
  int(n: number): number {
    return uniformInt(this.#generator, 0, n - 1);
  }

  /** Uniform over (0, 1), both ends excluded, in steps of 2⁻³². */
  uniform(): number {
    return (this.#generator.next() + 0x80000000 + 0.5) / 0x100000000;
  }

  /** A permutation of 0, 1, …, n − 1 (Fisher-Yates). */
  permutation(n: number): Int32Array {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.int(i + 1);
      const held = order[i] ?? 0;
      order[i] = order[j] ?? 0;
      order[j] = held;
    }
    return order;
  }

  /** Fills `out` with independent standard normal values (Box-Muller). */
  fillNormal(out: Float32Array | Float64Array): void {
    const g = this.#generator;
    for (let i = 0; i < out.length; i += 2) {
      const radius = Math.sqrt(-2 * Math.log((g.next() + 0x80000000 + 0.5) / 0x100000000));
      const angle = (g.next() + 0x80000000) * (Math.PI / 0x80000000);
      out[i] = radius * Math.cos(angle);
      if (i + 1 < out.length) out[i + 1] = radius * Math.sin(angle);
    }
  }

  /** Fills `out` with independent signs, −1 or 1 each with probability ½ (Rademacher). */
  fillSigns(out: Float32Array | Float64Array): void {
    const g = this.#generator;
    for (let i = 0; i < out.length;) {
      // The upper bits of an addition-based generator are its best: of 32, the lowest 8 go unused.
      let word = g.next();
      for (const end = Math.min(out.length, i + 24); i < end; i++) {
        out[i] = word < 0 ? -1 : 1;
        word <<= 1;
      }
    }
  }
}
