import { norm, zip, type Vectors } from "./optimizers.js";

/** What the loss on one batch, or on some of its rows, gives at w. */
export interface Loss {
  gradient(w: Vectors): Vectors;
  hvp(w: Vectors, z: Vectors): Vectors;
  /** The gradient at labels drawn from the model, or by signs of its logits. */
  drawn(w: Vectors, noise: "labels" | "signs"): Vectors;
  /** N, what the loss is divided by. */
  weight: number;
}

const difference = (x: Vectors, y: Vectors): Vectors => zip((a, b) => a - b, x, y);
const moved = (w: Vectors, e: Vectors, by = 1): Vectors => zip((x, y) => x + by * y, w, e);
const countOf = (x: Vectors): number => x.reduce((n, t) => n + t.length, 0);

/** (∇L(w + rz) − ∇L(w))/r, r = 10⁻³‖w‖/‖z‖. */
function differenceProduct(loss: Loss, w: Vectors, z: Vectors): Vectors {
  const r = (1e-3 * norm(w)) / norm(z);
  return zip((x) => x / r, difference(loss.gradient(moved(w, z, r)), loss.gradient(w)));
}

/** What CurvSAM's estimators of that name measure at w before the perturbation: ≥ 0, like w. */
export function estimate(name: string, loss: Loss, w: Vectors, probes: readonly Vectors[]): Vectors {
  const product = name === "hvp" ? loss.hvp.bind(loss) : differenceProduct.bind(null, loss);
  const squares = (g: Vectors): Vectors => zip((x) => loss.weight * x * x, g);
  switch (name) {
    case "hvp":
    case "finite-difference": {
      const signed = probes.map((z) => zip((a, b) => a * b, z, product(w, z)));
      const sum = signed.reduce((x, y) => zip((a, b) => a + b, x, y));
      return zip((x) => Math.abs(x) / probes.length, sum);
    }
    case "gnb":
      return squares(loss.drawn(w, "labels"));
    case "gauss-newton":
      return squares(loss.drawn(w, "signs"));
    case "empirical":
      return squares(loss.gradient(w));
    default:
      throw new Error(`no reference for the estimator ${name}`);
  }
}

/** |Δg ⊙ ε|/(ε² + κ²), κ = 3‖ε‖₂/√p; and p|g ⊙ Δg|/(‖g‖‖ε‖), Δg = ∇L(w + ε) − ∇L(w). */
export function secantEstimate(name: string, g: Vectors, second: Vectors, e: Vectors): Vectors {
  const change = difference(second, g);
  const p = countOf(e);
  if (name === "secant-gradient") return zip((x, d) => (p * Math.abs(x * d)) / (norm(g) * norm(e)), g, change);
  return zip((d, x) => Math.abs(d * x) / (x * x + (9 * norm(e) ** 2) / p), change, e);
}
