/**
 * The optimizers in float64, written from the papers over plain arrays, one a parameter tensor: what the graphs are
 * held against. Nothing here knows of graphs.
 */
export type Vectors = readonly Float64Array[];
/** ∇L at w. */
export type Gradient = (w: Vectors) => Vectors;
/** ∇²L(w) z. */
export type Hvp = (w: Vectors, z: Vectors) => Vectors;

/** f over corresponding elements. */
export const zip = (f: (...xs: number[]) => number, first: Vectors, ...rest: Vectors[]): Float64Array[] =>
  first.map((x, i) => x.map((v, j) => f(v, ...rest.map((r) => r[i]![j]!))));

/** Σ over every element of every tensor. */
export const total = (x: Vectors): number => x.reduce((s, t) => t.reduce((a, b) => a + b, s), 0);

export const norm = (x: Vectors): number => Math.sqrt(total(zip((v) => v * v, x)));

export const inner = (x: Vectors, y: Vectors): number => total(zip((a, b) => a * b, x, y));

/** Takes the descent gradient and gives the next weights, from those that it was handed. */
export interface Base {
  step(w: Vectors, g: Vectors): Vectors;
}

export interface SgdOptions {
  lr: number;
  momentum?: number;
  dampening?: number;
  nesterov?: boolean;
  weightDecay?: number;
  /** Decay as w ← w − lr·decay·w rather than as decay·w in the gradient. */
  decoupled?: boolean;
}

/**
 * d = g + λw; b ← μb + (1 − τ)d, b = d at first; w ← w − lr·(d + μb under Nesterov, else b), as PyTorch's SGD.
 * Sutskever et al. 2013.
 */
export class Sgd implements Base {
  private buffer: Vectors | null = null;
  constructor(private readonly o: SgdOptions) {}

  step(w: Vectors, g: Vectors): Vectors {
    const { lr, momentum = 0, dampening = 0, nesterov = false, weightDecay = 0, decoupled = false } = this.o;
    let d: Vectors = decoupled ? g : zip((x, v) => x + weightDecay * v, g, w);
    if (momentum !== 0) {
      this.buffer = this.buffer ? zip((b, x) => momentum * b + (1 - dampening) * x, this.buffer, d) : d;
      d = nesterov ? zip((x, b) => x + momentum * b, d, this.buffer) : this.buffer;
    }
    const kept = decoupled ? 1 - lr * weightDecay : 1;
    return zip((v, x) => kept * v - lr * x, w, d);
  }
}

export interface AdamWOptions {
  lr: number;
  beta1?: number;
  beta2?: number;
  epsilon?: number;
  weightDecay?: number;
  /** The largest v so far stands for v, before its bias is corrected (Reddi et al. 2018, as PyTorch has it). */
  amsgrad?: boolean;
}

/**
 * m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², w ← (1 − lr·λ)w − lr·m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).
 * Loshchilov & Hutter 2019.
 */
export class AdamW implements Base {
  private m: Vectors | null = null;
  private v: Vectors | null = null;
  private largest: Vectors | null = null;
  private t = 0;
  constructor(private readonly o: AdamWOptions) {}

  step(w: Vectors, g: Vectors): Vectors {
    const { lr, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0, amsgrad = false } = this.o;
    const zeros = zip(() => 0, g);
    this.t++;
    this.m = zip((m, x) => beta1 * m + (1 - beta1) * x, this.m ?? zeros, g);
    this.v = zip((v, x) => beta2 * v + (1 - beta2) * x * x, this.v ?? zeros, g);
    this.largest = amsgrad ? zip(Math.max, this.largest ?? zeros, this.v) : this.v;
    const [first, second] = [1 - beta1 ** this.t, 1 - beta2 ** this.t];
    return zip(
      (x, m, v) => (1 - lr * weightDecay) * x - (lr * (m / first)) / (Math.sqrt(v / second) + epsilon),
      w,
      this.m,
      this.largest,
    );
  }
}

/** How a diagonal is averaged: each element of a tensor gets the mean of the elements of its block. */
export type Blocks = readonly ((x: Float64Array) => Float64Array)[];

export interface AdaHessianOptions extends AdamWOptions {
  power?: number;
  average?: "signed" | "absolute";
}

/**
 * D = z ⊙ Hz averaged in blocks, v ← β₂v + (1 − β₂)D²; w ← (1 − lr·λ)w − lr·m̂/(v̂^(k/2) + ε), v̂ over 1 − β₂ⁿ, n measurements.
 * Yao et al. 2021, Algorithm 1.
 */
export class AdaHessian implements Base {
  private m: Vectors | null = null;
  private v: Vectors | null = null;
  private t = 0;
  private n = 0;
  constructor(
    private readonly o: AdaHessianOptions,
    private readonly blocks: Blocks | null = null,
  ) {}

  measure(z: Vectors, hz: Vectors): void {
    const { beta2 = 0.999, average = "signed" } = this.o;
    const raw = zip((a, b) => (average === "absolute" ? Math.abs(a * b) : a * b), z, hz);
    const d = this.blocks ? raw.map((x, k) => this.blocks![k]!(x)) : raw;
    this.n++;
    this.v = zip((v, x) => beta2 * v + (1 - beta2) * x * x, this.v ?? zip(() => 0, d), d);
  }

  step(w: Vectors, g: Vectors): Vectors {
    const { lr, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-4, weightDecay = 0, power = 1 } = this.o;
    this.t++;
    this.m = zip((m, x) => beta1 * m + (1 - beta1) * x, this.m ?? zip(() => 0, g), g);
    const [first, second] = [1 - beta1 ** this.t, 1 - beta2 ** this.n];
    return zip(
      (x, m, v) => (1 - lr * weightDecay) * x - (lr * (m / first)) / ((v / second) ** (power / 2) + epsilon),
      w,
      this.m,
      this.v!,
    );
  }
}

/** v ← β₂v + (1 − β₂)|z ⊙ Hz|; w ← (1 − lr·λ)w − lr·m̂/(√v̂ + ε). Shin et al. 2025 (SASSHA), Algorithm 1, with its ascent apart. */
export class Sassha implements Base {
  private m: Vectors | null = null;
  private v: Vectors | null = null;
  private t = 0;
  private n = 0;
  constructor(private readonly o: AdamWOptions) {}

  measure(z: Vectors, hz: Vectors): void {
    const { beta2 = 0.999 } = this.o;
    this.n++;
    this.v = zip((v, a, b) => beta2 * v + (1 - beta2) * Math.abs(a * b), this.v ?? zip(() => 0, z), z, hz);
  }

  step(w: Vectors, g: Vectors): Vectors {
    const { lr, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-4, weightDecay = 0 } = this.o;
    this.t++;
    this.m = zip((m, x) => beta1 * m + (1 - beta1) * x, this.m ?? zip(() => 0, g), g);
    const [first, second] = [1 - beta1 ** this.t, 1 - beta2 ** this.n];
    return zip(
      (x, m, v) => (1 - lr * weightDecay) * x - (lr * (m / first)) / (Math.sqrt(v / second) + epsilon),
      w,
      this.m,
      this.v!,
    );
  }
}

/** g_p − α g_⊥, g_⊥ = g − ⟨g, ĝ_p⟩ĝ_p. Zhuang et al. 2022, Algorithm 1. */
export function gsamDescent(g: Vectors, gp: Vectors, alpha: number): Vectors {
  const length = norm(gp);
  const unit = zip((x) => (length > 0 ? x / length : 0), gp);
  const along = inner(g, unit);
  const orthogonal = zip((x, u) => x - along * u, g, unit);
  return zip((x, o) => x - alpha * o, gp, orthogonal);
}

/** ρ_min + (ρ_max − ρ_min)(lr − lr_min)/(lr_max − lr_min), at least 0. */
export const gsamRadius = (o: { rho: number; rhoMin: number; lr: number; lrMax: number; lrMin: number }): number =>
  Math.max(0, o.rhoMin + ((o.rho - o.rhoMin) * (o.lr - o.lrMin)) / (o.lrMax - o.lrMin));

/** g_v = g_s − ‖g_s‖cosθ·ĝ, what LookSAM keeps. Liu et al. 2022, eq. 4. */
export function lookKept(g: Vectors, gs: Vectors): Vectors {
  const cosine = inner(g, gs) / (norm(g) * norm(gs));
  const factor = (norm(gs) * cosine) / norm(g);
  return zip((s, x) => s - factor * x, gs, g);
}

/** g + α(‖g‖/‖g_v‖)g_v, at LookSAM's other steps. */
export const lookDescent = (g: Vectors, kept: Vectors, alpha: number): Vectors =>
  zip((x, v) => x + ((alpha * norm(g)) / norm(kept)) * v, g, kept);
