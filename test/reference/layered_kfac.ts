import { Matrix } from "ml-matrix";
import type { Layer } from "../../src/curvature/layers.js";
import { dampedInverse } from "./kfac.js";
import { AdamW, Sgd, type AdamWOptions, type SgdOptions, type Vectors } from "./optimizers.js";

/** Factors of a layer: A [inputs, inputs] with the bias's 1 as its last row, S [outputs, outputs]. */
export interface Factors {
  a: Matrix;
  s: Matrix;
}

export interface LayeredKfacOptions {
  damping: number;
  decay: number;
  inverses: number;
  start: number;
  /** Added to what is inverted, as a share of λ̄ = (Σλ⁸)^(1/8); embeddings excepted. */
  ridge: number;
  sgd: SgdOptions;
  /** Who moves the parameters in no layer; SGD where it is left out. */
  others: AdamWOptions | null;
}

/**
 * K-FAC from factors that are given, on layers of any layout. Inverses at step t are those of the factors before it, and I
 * before the first ones; `t mod inverses = start mod inverses`, from `start` on.
 */
export class LayeredKfac {
  private readonly sgd: Sgd;
  private readonly adam: AdamW | null;
  private readonly covered: ReadonlySet<string>;
  private sums: Factors[] = [];
  private inverted: Factors[] = [];
  private n = 0;
  private t = 0;
  constructor(
    private readonly o: LayeredKfacOptions,
    private readonly layers: readonly Layer[],
    private readonly names: readonly string[],
  ) {
    this.sgd = new Sgd({ ...o.sgd, decoupled: true });
    this.adam = o.others && new AdamW(o.others);
    this.covered = new Set(layers.flatMap((l) => (l.bias === null ? [l.weight] : [l.weight, l.bias])));
  }

  step(w: Vectors, g: Vectors, factors: readonly Factors[] | null): Vectors {
    const { o, t, layers } = this;
    if (t >= o.start && (t - o.start) % o.inverses === 0) this.invert();
    if (factors) {
      this.n++;
      this.sums = factors.map((f, i) => {
        const old = this.sums[i] ?? { a: Matrix.zeros(f.a.rows, f.a.rows), s: Matrix.zeros(f.s.rows, f.s.rows) };
        const mix = (x: Matrix, y: Matrix): Matrix => Matrix.add(Matrix.mul(x, o.decay), Matrix.mul(y, 1 - o.decay));
        return { a: mix(old.a, f.a), s: mix(old.s, f.s) };
      });
    }
    this.t++;
    const direction = g.map((x) => Float64Array.from(x));
    this.inverted.forEach((inverse, i) => this.natural(layers[i]!, inverse, g, direction));
    if (!this.adam) return this.sgd.step(w, direction);
    const [own, others] = [this.sgd.step(w, direction), this.adam.step(w, g)];
    return w.map((_, k) => (this.covered.has(this.names[k] ?? "") ? own : others)[k]!);
  }

  private invert(): void {
    const { o, layers } = this;
    const c = 1 - o.decay ** this.n;
    const inverse = (f: Matrix, by: number, isDiagonal: boolean): Matrix => {
      const damped = Matrix.add(f, Matrix.mul(Matrix.eye(f.rows), by));
      const square = damped.mmul(damped);
      const bound = square.mmul(square).norm("frobenius") ** 0.25;
      return dampedInverse(damped, isDiagonal ? 0 : o.ridge * bound);
    };
    this.inverted = this.sums.map(({ a, s }, i) => {
      const [fa, fs] = [Matrix.div(a, c), Matrix.div(s, c)];
      const pi = Math.sqrt(fa.trace() / fa.rows / (fs.trace() / fs.rows));
      const root = Math.sqrt(o.damping);
      return { a: inverse(fa, pi * root, layers[i]!.kind === "embedding"), s: inverse(fs, root / pi, false) };
    });
  }

  private natural(layer: Layer, { a, s }: Factors, g: Vectors, out: Float64Array[]): void {
    const { inputs, outputs, outputsFirst } = layer;
    const weight = this.names.indexOf(layer.weight);
    const bias = layer.bias === null ? -1 : this.names.indexOf(layer.bias);
    const place = (i: number, o: number): number => (outputsFirst ? o * inputs + i : i * outputs + o);
    const matrix = Matrix.zeros(a.rows, outputs);
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) matrix.set(i, o, g[weight]![place(i, o)]!);
      if (bias >= 0) matrix.set(inputs, o, g[bias]![o]!);
    }
    const moved = a.mmul(matrix).mmul(s);
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) out[weight]![place(i, o)] = moved.get(i, o);
      if (bias >= 0) out[bias]![o] = moved.get(inputs, o);
    }
  }
}
