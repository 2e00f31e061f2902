import { symmetricFunction } from "./linalg.js";
import { Sgd, zip, type Base, type Vectors } from "./optimizers.js";

export interface ShampooOptions {
  lr: number;
  block: number;
  grafting: "sgd" | "adam" | "none";
  momentum?: number;
  dampening?: number;
  nesterov?: boolean;
  /** Adam's, where that is grafted. */
  beta1?: number;
  beta2?: number;
  adamEpsilon?: number;
  weightDecay?: number;
  /** γ; 1 sums. */
  decay?: number;
  epsilon: number;
  ridge: number;
  statistics: number;
  roots: number;
  start: number;
}

/** One block of one tensor: the places of its elements, row by row, and its statistics and roots. */
interface Block {
  places: number[][];
  l: Float64Array;
  r: Float64Array;
  pl: Float64Array;
  pr: Float64Array;
  /** Rows and columns of zeros that make it as large as the first. */
  below: number;
  beside: number;
}

const length = (x: Float64Array): number => Math.sqrt(x.reduce((s, v) => s + v * v, 0));
const eye = (n: number): Float64Array => Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));

/**
 * Shampoo (Gupta, Koren & Singer 2018, Algorithm 1) on blocks, with grafting (Anil et al. 2020), by eigendecompositions:
 * L ← γL + sGGᵀ, R ← γR + sGᵀG; U = (L + εI)^(−1/4) G (R + εI)^(−1/4), the roots a step late; the direction is
 * U‖D‖/‖U‖ with D = g and SGD behind it, or D Adam's and m̂ in the place of G.
 */
export class Shampoo implements Base {
  private blocks: (Block[] | null)[] | null = null;
  private t = 0;
  private readonly sgd: Sgd;
  private m: Vectors = [];
  private v: Vectors = [];

  constructor(
    private readonly o: ShampooOptions,
    private readonly shapes: readonly (readonly number[])[],
  ) {
    const { lr, momentum = 0, dampening = 0, nesterov = false, weightDecay = 0 } = o;
    this.sgd = new Sgd({ lr, momentum, dampening, nesterov, weightDecay, decoupled: true });
  }

  /** `measured`: the gradient that the statistics are of, where that is not the descent gradient. */
  step(w: Vectors, g: Vectors, measured: Vectors = g): Vectors {
    const { o, t } = this;
    const blocks = (this.blocks ??= this.shapes.map((s) => this.cut(s)));
    if (t >= o.start && (t - o.start) % o.roots === 0) {
      for (const block of blocks.flatMap((k) => k ?? [])) {
        block.pl = this.root(block.l, block.below);
        block.pr = this.root(block.r, block.beside);
      }
    }
    if (t % o.statistics === 0) blocks.forEach((k, i) => k?.forEach((block) => this.collect(block, measured[i]!)));
    this.t++;
    if (o.grafting !== "adam") {
      const direction = g.map((x, i) => {
        const u = blocks[i] && this.precondition(blocks[i], x);
        return u && o.grafting === "sgd" ? u.map((y) => (y * length(x)) / length(u)) : (u ?? x);
      });
      return this.sgd.step(w, direction);
    }
    const { beta1 = 0.9, beta2 = 0.999, adamEpsilon = 1e-8 } = o;
    const zeros = zip(() => 0, g);
    this.m = zip((m, x) => beta1 * m + (1 - beta1) * x, this.t === 1 ? zeros : this.m, g);
    this.v = zip((v, x) => beta2 * v + (1 - beta2) * x * x, this.t === 1 ? zeros : this.v, g);
    const mean = zip((m) => m / (1 - beta1 ** this.t), this.m);
    const adam = zip((m, v) => m / (Math.sqrt(v / (1 - beta2 ** this.t)) + adamEpsilon), mean, this.v);
    const direction = mean.map((x, i) => {
      const u = blocks[i] && this.precondition(blocks[i], x);
      return u ? u.map((y) => (y * length(adam[i]!)) / length(u)) : adam[i]!;
    });
    return zip((x, u) => (1 - o.lr * (o.weightDecay ?? 0)) * x - o.lr * u, w, direction);
  }

  private cut(shape: readonly number[]): Block[] | null {
    const [rows = 1, ...rest] = shape.filter((d) => d !== 1);
    if (rest.length === 0) return null;
    const columns = rest.reduce((a, b) => a * b, 1);
    const even = (n: number): number => Math.ceil(n / Math.ceil(n / this.o.block));
    const out: Block[] = [];
    for (let i = 0; i < rows; i += even(rows)) {
      for (let j = 0; j < columns; j += even(columns)) {
        const height = Math.min(even(rows), rows - i);
        const width = Math.min(even(columns), columns - j);
        out.push({
          places: Array.from({ length: height }, (_, a) =>
            Array.from({ length: width }, (_, c) => (i + a) * columns + j + c),
          ),
          l: new Float64Array(height * height),
          r: new Float64Array(width * width),
          pl: eye(height),
          pr: eye(width),
          below: even(rows) - height,
          beside: even(columns) - width,
        });
      }
    }
    return out;
  }

  private collect({ places, l, r }: Block, g: Float64Array): void {
    const { decay = 1 } = this.o;
    const share = decay === 1 ? 1 : 1 - decay;
    const [n, m] = [places.length, places[0]!.length];
    const at = (i: number, j: number): number => g[places[i]![j]!]!;
    for (let a = 0; a < n; a++)
      for (let c = 0; c < n; c++) {
        let s = 0;
        for (let j = 0; j < m; j++) s += at(a, j) * at(c, j);
        l[a * n + c] = decay * l[a * n + c]! + share * s;
      }
    for (let a = 0; a < m; a++)
      for (let c = 0; c < m; c++) {
        let s = 0;
        for (let i = 0; i < n; i++) s += at(i, a) * at(i, c);
        r[a * m + c] = decay * r[a * m + c]! + share * s;
      }
  }

  /** (A + εI + ridge·λ̄I)^(−1/4), λ̄ = (Σλ⁸)^(1/8) with those of the padding. */
  private root(a: Float64Array, padding: number): Float64Array {
    const n = Math.sqrt(a.length);
    const { epsilon, ridge } = this.o;
    const eigenvalues = Array<number>(padding).fill(epsilon);
    symmetricFunction(a, n, (x) => {
      eigenvalues.push(Math.max(x, 0) + epsilon);
      return x;
    });
    const bound = eigenvalues.reduce((s, x) => s + x ** 8, 0) ** (1 / 8);
    return symmetricFunction(a, n, (x) => (Math.max(x, 0) + epsilon + ridge * bound) ** -0.25);
  }

  private precondition(blocks: readonly Block[], g: Float64Array): Float64Array {
    const out = new Float64Array(g.length);
    for (const { places, pl, pr } of blocks) {
      const [n, m] = [places.length, places[0]!.length];
      for (let i = 0; i < n; i++)
        for (let j = 0; j < m; j++) {
          let s = 0;
          for (let a = 0; a < n; a++)
            for (let c = 0; c < m; c++) s += pl[i * n + a]! * g[places[a]![c]!]! * pr[c * m + j]!;
          out[places[i]![j]!] = s;
        }
    }
    return out;
  }
}
