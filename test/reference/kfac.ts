import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { Sgd, type Base, type Vectors } from "./optimizers.js";

/** One linear layer as a reference network has it: rows of inputs, and of the cotangents of its outputs. */
export interface Rows {
  /** [rows, inputs], the 1 of the bias not among them. */
  a: Matrix;
  /** ∂L/∂y, [rows, outputs]. */
  s: Matrix;
}

export interface KfacOptions {
  lr: number;
  momentum?: number;
  weightDecay?: number;
  damping: number;
  decay: number;
  factors: number;
  inverses: number;
  start: number;
}

interface Factors {
  a: Matrix;
  s: Matrix;
  inverseA: Matrix;
  inverseS: Matrix;
}

const withOnes = (a: Matrix): Matrix => a.clone().addColumn(a.columns, Array<number>(a.rows).fill(1));

/** (F + by · I)⁻¹ by an eigendecomposition. */
export function dampedInverse(f: Matrix, by: number): Matrix {
  const { realEigenvalues, eigenvectorMatrix: v } = new EigenvalueDecomposition(f, { assumeSymmetric: true });
  return v.mmul(Matrix.diag(realEigenvalues.map((x) => 1 / (x + by)))).mmul(v.transpose());
}

/** Both inverses under the damping γ split by π = √((tr A/dim A)/(tr S/dim S)): (A + π√γ I)⁻¹, (S + √γ/π I)⁻¹. */
export function dampedInverses(a: Matrix, s: Matrix, damping: number): [Matrix, Matrix] {
  const pi = Math.sqrt(a.trace() / a.rows / (s.trace() / s.rows));
  return [dampedInverse(a, pi * Math.sqrt(damping)), dampedInverse(s, Math.sqrt(damping) / pi)];
}

/**
 * K-FAC (Martens & Grosse 2015) on a chain of linear layers, weights [inputs, outputs] and biases in turn:
 * A and S are moving averages from zero over 1 − βⁿ, the inverses those of the factors before the step.
 */
export class Kfac implements Base {
  private readonly sgd: Sgd;
  private layers: Factors[] = [];
  private count = 0;
  private t = 0;

  constructor(private readonly o: KfacOptions) {
    const { lr, momentum = 0, weightDecay = 0 } = o;
    this.sgd = new Sgd({ lr, momentum, weightDecay, decoupled: true });
  }

  /** The rows that the next step measures, of a loss that is a mean over `examples`. */
  rows: readonly Rows[] = [];
  examples = 1;

  step(w: Vectors, g: Vectors): Vectors {
    const { o, t, rows } = this;
    if (t === 0) {
      this.layers = rows.map(({ a, s }) => ({
        a: Matrix.zeros(a.columns + 1, a.columns + 1),
        s: Matrix.zeros(s.columns, s.columns),
        inverseA: Matrix.eye(a.columns + 1),
        inverseS: Matrix.eye(s.columns),
      }));
    }
    if (t >= o.start && (t - o.start) % o.inverses === 0) {
      const c = 1 - o.decay ** this.count;
      for (const l of this.layers) {
        [l.inverseA, l.inverseS] = dampedInverses(Matrix.div(l.a, c), Matrix.div(l.s, c), o.damping);
      }
    }
    if (t % o.factors === 0) {
      this.count++;
      this.layers.forEach((l, i) => {
        const a = withOnes(rows[i]!.a);
        const { s } = rows[i]!;
        const averaged = (old: Matrix, fresh: Matrix): Matrix =>
          Matrix.add(Matrix.mul(old, o.decay), Matrix.mul(fresh, 1 - o.decay));
        l.a = averaged(l.a, a.transpose().mmul(a).div(a.rows));
        l.s = averaged(l.s, s.transpose().mmul(s).mul(this.examples));
      });
    }
    this.t++;
    const direction = this.layers.flatMap((l, i) => {
      const [inputs, outputs] = [l.a.rows - 1, l.s.rows];
      const matrix = Matrix.zeros(inputs + 1, outputs);
      for (let r = 0; r <= inputs; r++) {
        for (let c = 0; c < outputs; c++) {
          matrix.set(r, c, r < inputs ? g[2 * i]![r * outputs + c]! : g[2 * i + 1]![c]!);
        }
      }
      const flat = l.inverseA.mmul(matrix).mmul(l.inverseS).to1DArray();
      return [Float64Array.from(flat.slice(0, inputs * outputs)), Float64Array.from(flat.slice(inputs * outputs))];
    });
    return this.sgd.step(w, direction);
  }
}
