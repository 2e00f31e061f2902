import { Matrix } from "ml-matrix";
import type { Layer } from "../../src/curvature/layers.js";
import { dampedInverse, dampedInverses } from "./kfac.js";
import {
  asamPerturbation,
  gsamDescent,
  gsamRadius,
  lookDescent,
  lookKept,
  samPerturbation,
  Sgd,
  total,
  zip,
  type AdaHessian,
  type Base,
  type Sassha,
  type Vectors,
} from "./optimizers.js";
import type { Shampoo } from "./shampoo.js";

/** What a step is computed from. */
export interface Oracle {
  gradient(w: Vectors): Vectors;
  hvp(w: Vectors, z: Vectors): Vectors;
  /** Probes of the ascent and of the base. */
  probe: Vectors;
  baseProbe: Vectors;
  /** K-FAC's factors at w, by layer. */
  factors(w: Vectors): readonly { a: Matrix; s: Matrix }[];
}

export type AscentName = "none" | "sam" | "asam" | "curvsam";
export type CombineName = "plain" | "gsam" | "looksam";

export interface CompositionOptions {
  ascent: AscentName;
  combine: CombineName;
  rho: number;
  /** ASAM: η, and which tensors are adapted. */
  eta: number;
  adapted: boolean[];
  /** CurvSAM as its paper has it. */
  beta: number;
  delta: number;
  frequency: number;
  /** GSAM. */
  rhoMin: number;
  lrMax: number;
  lrMin: number;
  lr: number;
  /** GSAM's and LookSAM's. */
  alpha: number;
  /** LookSAM's k. */
  period: number;
  /** Steps between measurements of the base, a multiple of LookSAM's k. */
  baseFrequency: number;
}

/** A base that can be measured at the point of the descent gradient. */
export type AnyBase =
  | { kind: "plain"; base: Base }
  | { kind: "diagonal"; base: AdaHessian | Sassha }
  | { kind: "shampoo"; base: Shampoo }
  | { kind: "kfac"; base: LayeredKfac };

/** An ascent, a combine rule and a base, put together from their references; refreshes fall on steps with a second gradient. */
export class Composition {
  private h: Vectors | null = null;
  private kept: Vectors = [];
  private t = 0;
  constructor(
    private readonly o: CompositionOptions,
    private readonly base: AnyBase,
  ) {}

  step(w: Vectors, oracle: Oracle): Vectors {
    const { o, t } = this;
    const k = o.combine === "looksam" ? o.period : 1;
    const g = oracle.gradient(w);
    let point = w;
    let at = g;
    let descent = g;
    if (o.ascent !== "none" && t % k === 0) {
      if (o.ascent === "curvsam" && t % (k * Math.ceil(o.frequency / k)) === 0) this.refresh(w, oracle);
      point = zip((x, e) => x + e, w, this.perturbation(w, g));
      at = oracle.gradient(point);
      descent = o.combine === "gsam" ? gsamDescent(g, at, o.alpha) : at;
      if (o.combine === "looksam") this.kept = lookKept(g, at);
    } else if (o.ascent !== "none") descent = lookDescent(g, this.kept, o.alpha);
    this.t++;
    const { base } = this;
    const due = t % o.baseFrequency === 0;
    switch (base.kind) {
      case "plain":
        return base.base.step(w, descent);
      case "diagonal":
        if (due) base.base.measure(oracle.baseProbe, oracle.hvp(point, oracle.baseProbe));
        return base.base.step(w, descent);
      case "shampoo":
        return base.base.step(w, descent, at);
      case "kfac":
        return base.base.step(w, descent, due ? oracle.factors(point) : null);
    }
  }

  private refresh(w: Vectors, oracle: Oracle): void {
    const { beta } = this.o;
    const hz = oracle.hvp(w, oracle.probe);
    const h = this.h ?? zip(() => 1, w);
    this.h = zip((old, z, v) => beta * old + (1 - beta) * Math.abs(z * v), h, oracle.probe, hz);
  }

  private perturbation(w: Vectors, g: Vectors): Vectors {
    const { o } = this;
    const rho = o.combine === "gsam" ? gsamRadius(o) : o.rho;
    if (o.ascent === "sam") return samPerturbation(g, rho);
    if (o.ascent === "asam") return asamPerturbation(w, g, rho, o.eta, o.adapted);
    const d = zip((x) => Math.max(Math.sqrt(x), o.delta), this.h!);
    const size = Math.sqrt(total(zip((x, s) => (x * x) / s, g, d)));
    return zip((x, s) => (rho * x) / s / size, g, d);
  }
}

/**
 * K-FAC from factors that are given, on layers of any layout; the rest by SGD. Inverses at step t are those of the factors
 * before it, and I before the first ones.
 */
export class LayeredKfac {
  private readonly sgd: Sgd;
  private sums: { a: Matrix; s: Matrix }[] = [];
  private inverses: { a: Matrix; s: Matrix }[] = [];
  private n = 0;
  private t = 0;
  constructor(
    private readonly o: { lr: number; damping: number; decay: number; inverses: number },
    private readonly layers: readonly Layer[],
    private readonly names: readonly string[],
  ) {
    this.sgd = new Sgd({ lr: o.lr });
  }

  step(w: Vectors, g: Vectors, factors: readonly { a: Matrix; s: Matrix }[] | null): Vectors {
    const { o, t, layers } = this;
    if (t >= 1 && (t - 1) % o.inverses === 0) {
      const c = 1 - o.decay ** this.n;
      this.inverses = this.sums.map(({ a, s }, i) => {
        const [fa, fs] = [Matrix.div(a, c), Matrix.div(s, c)];
        if (layers[i]!.kind !== "embedding") {
          const [ia, is] = dampedInverses(fa, fs, o.damping);
          return { a: ia, s: is };
        }
        const pi = Math.sqrt(fa.trace() / fa.rows / (fs.trace() / fs.rows));
        const root = Math.sqrt(o.damping);
        return { a: dampedInverse(fa, pi * root), s: dampedInverse(fs, root / pi) };
      });
    }
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
    this.inverses.forEach((inverse, i) => this.natural(layers[i]!, inverse, g, direction));
    return this.sgd.step(w, direction);
  }

  private natural(layer: Layer, { a, s }: { a: Matrix; s: Matrix }, g: Vectors, out: Float64Array[]): void {
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
