import { total, zip, type Base, type Gradient, type Hvp, type Vectors } from "./optimizers.js";

/** The group of each tensor where norms are of these; null where one norm is over all. */
export type Groups = readonly string[] | null;

/** ρ u/√Σq over all tensors, or over those of each group; 0 where the root is 0 or overflows. */
function along(u: Vectors, q: Vectors, rho: number, groups: Groups): Float64Array[] {
  return u.map((x, k) => {
    const size = Math.sqrt(total(q.filter((_, i) => !groups || groups[i] === groups[k])));
    return x.map((v) => (size > 0 && Number.isFinite(size) ? (rho * v) / size : 0));
  });
}

/** ε = ρ g/‖g‖₂. Foret et al. 2021, eq. 2. */
export const samPerturbation = (g: Vectors, rho: number, groups: Groups = null): Float64Array[] =>
  along(
    g,
    zip((x) => x * x, g),
    rho,
    groups,
  );

/** ε = ρ T²g/‖Tg‖₂ with T = |w| + η on adapted tensors, 1 on others. Kwon et al. 2021, eq. 4. */
export function asamPerturbation(
  w: Vectors,
  g: Vectors,
  o: { rho: number; eta: number; adapted: readonly boolean[]; groups: Groups },
): Float64Array[] {
  const t = w.map((x, k) => x.map((v) => (o.adapted[k] ? Math.abs(v) + o.eta : 1)));
  return along(
    zip((a, x) => a * a * x, t, g),
    zip((a, x) => (a * x) ** 2, t, g),
    o.rho,
    o.groups,
  );
}

export interface CurvatureOptions {
  rho: number;
  beta?: number;
  /** Floor δ of d; under `floor: "relative"`, δ·rms(√ĥ) over all tensors. */
  delta?: number;
  floor?: "absolute" | "relative";
  /** h at the start; from zero, ĥ = h/(1 − βⁿ) after n refreshes stands for h, and 1 before the first. */
  initial?: "one" | "zero";
  radius?: "ellipsoid" | "euclidean";
  /** One h an element, or the mean of h over each tensor or group. */
  granularity?: "element" | "tensor" | "group";
  scope?: "global" | "group";
}

/**
 * CurvSAM's ellipsoid, Algorithm 1: h ← βh + (1 − β) of an estimate; d = max(√h, δ); ε = ρ(g ⊘ d)/√Σ(g² ⊘ d), so that
 * εᵀDε = ρ². The Euclidean radius has ‖g ⊘ d‖₂ for the root. An estimate that is not finite leaves h.
 */
export class Ellipsoid {
  private refreshes = 0;

  constructor(
    private readonly o: CurvatureOptions,
    private readonly groups: readonly string[],
    private h: Vectors,
  ) {}

  static start(w: Vectors, o: CurvatureOptions, groups: readonly string[] = []): Ellipsoid {
    return new Ellipsoid(
      o,
      groups,
      zip(() => (o.initial === "zero" ? 0 : 1), w),
    );
  }

  get curvature(): Vectors {
    return this.h;
  }

  /** Itself after a refresh. */
  refreshed(estimate: Vectors): Ellipsoid {
    const { beta = 0.9 } = this.o;
    if (!estimate.every((x) => x.every(Number.isFinite))) return this;
    const next = new Ellipsoid(
      this.o,
      this.groups,
      zip((old, x) => beta * old + (1 - beta) * x, this.h, estimate),
    );
    next.refreshes = this.refreshes + 1;
    return next;
  }

  /** d. */
  scale(): Vectors {
    const { beta = 0.9, delta = 0.01, floor = "absolute", initial } = this.o;
    const n = this.refreshes;
    const corrected = initial !== "zero" ? this.h : zip((x) => (n > 0 ? x / (1 - beta ** n) : 1), this.h);
    const h = this.coarse(corrected);
    const count = h.reduce((sum, x) => sum + x.length, 0);
    const least = floor === "absolute" ? delta : delta * Math.sqrt(total(h) / count);
    return zip((x) => Math.max(Math.sqrt(x), least), h);
  }

  perturbation(g: Vectors): Float64Array[] {
    const { rho, radius = "ellipsoid", scope = "global" } = this.o;
    const d = this.scale();
    return along(
      zip((x, s) => x / s, g, d),
      zip((x, s) => (radius === "euclidean" ? (x / s) ** 2 : (x * x) / s), g, d),
      rho,
      scope === "group" ? this.groups : null,
    );
  }

  private coarse(h: Vectors): Vectors {
    const { granularity = "element" } = this.o;
    if (granularity === "element") return h;
    return h.map((x, k) => {
      const members = granularity === "tensor" ? [x] : h.filter((_, i) => this.groups[i] === this.groups[k]);
      return x.map(() => total(members) / members.reduce((n, m) => n + m.length, 0));
    });
  }
}

const finite = (x: Vectors): boolean => x.every((t) => t.every(Number.isFinite));

/** SAM: the base descends from w along ∇L(w + ε). A step whose gradients are not finite changes nothing. */
export class Sam {
  perturbation: Vectors = [];
  constructor(
    private readonly base: Base,
    private readonly rho: number,
  ) {}

  step(w: Vectors, gradient: Gradient): Vectors {
    const g = gradient(w);
    this.perturbation = samPerturbation(g, this.rho);
    const descent = gradient(zip((x, e) => x + e, w, this.perturbation));
    return finite(g) && finite(descent) ? this.base.step(w, descent) : w;
  }
}

/** CurvSAM: the same along its ellipsoid, refreshed by |z ⊙ Hz| at w every F steps. */
export class CurvSam {
  perturbation: Vectors = [];
  private ellipsoid: Ellipsoid | null = null;
  private t = 0;
  constructor(
    private readonly base: Base,
    private readonly o: CurvatureOptions & { frequency?: number },
  ) {}

  get curvature(): Vectors {
    return this.ellipsoid?.curvature ?? [];
  }

  get scale(): Vectors {
    return this.ellipsoid?.scale() ?? [];
  }

  /** One step; `probe` is asked for z where the curvature is refreshed. */
  step(w: Vectors, gradient: Gradient, hvp: Hvp, probe: () => Vectors): Vectors {
    let ellipsoid = this.ellipsoid ?? Ellipsoid.start(w, this.o);
    if (this.t % (this.o.frequency ?? 5) === 0) {
      const z = probe();
      ellipsoid = ellipsoid.refreshed(zip((a, b) => Math.abs(a * b), z, hvp(w, z)));
    }
    const g = gradient(w);
    const e = ellipsoid.perturbation(g);
    const descent = gradient(zip((x, y) => x + y, w, e));
    if (!finite(g) || !finite(descent)) return w;
    [this.ellipsoid, this.perturbation] = [ellipsoid, e];
    this.t++;
    return this.base.step(w, descent);
  }
}
