import * as e from "./emit.js";

/** What a normalization over some axes computes, as primitive operators: r = 1/√(mean c² + ε), x̂ = c·r. */
export interface Standardized {
  axes: readonly number[];
  /** x − mean x, or x where the mean is not taken off. */
  centered: e.V;
  inverse: e.V;
  normalized: e.V;
  /** √(mean c² + ε), where it is computed here. */
  deviation: e.V | null;
  /** Whether the mean is taken off. */
  centers: boolean;
}

/** Options: the mean and the inverse where an operator gives them, so that they are not computed anew. */
export interface Given {
  centers?: boolean;
  mean?: e.V | null;
  inverse?: e.V | null;
}

/** x brought to mean 0 and mean square 1 over the axes, as nodes that the builder shares. */
export function standardize(
  b: e.B,
  x: e.V,
  axes: readonly number[],
  epsilon: number,
  { centers = true, mean = null, inverse = null }: Given = {},
): Standardized {
  const centered = centers ? e.sub(b, x, mean ?? e.reduceMean(b, x, axes)) : x;
  const deviation = inverse ? null : e.sqrt(b, e.shift(b, meanSquare(b, centered, axes), epsilon));
  const r = inverse ?? e.reciprocal(b, deviation ?? x);
  return { axes, centered, inverse: r, normalized: e.mul(b, centered, r), deviation, centers };
}

/** By a product and a mean: the runtime's kernel for sums of squares is slower than both. */
const meanSquare = (b: e.B, v: e.V, axes: readonly number[]): e.V => e.reduceMean(b, e.square(b, v), axes);

/** dx = r(a − mean a − x̂·mean(a·x̂)) for the cotangent a of x̂; `inner` is mean(a·x̂), where the caller has it cheaper. */
export function standardizeVjp(b: e.B, p: Standardized, a: e.V, inner?: e.V): e.V {
  const along = e.mul(b, p.normalized, inner ?? e.reduceMean(b, e.mul(b, a, p.normalized), p.axes));
  const rest = p.centers ? e.sub(b, a, e.reduceMean(b, a, p.axes)) : a;
  return e.mul(b, p.inverse, e.sub(b, rest, along));
}

export interface Tangents {
  mean: e.V | null;
  inverse: e.V;
  normalized: e.V;
}

/**
 * ċ = ẋ − mean ẋ, ṙ = −r³·mean(c·ċ), and ċ·r + c·ṙ. Written in the operators that forward mode emits for the primitive
 * operators of `standardize`, so that a Hessian-vector product shares them.
 */
export function standardizeJvp(b: e.B, p: Standardized, dx: e.V): Tangents {
  const mean = p.centers ? e.reduceMean(b, dx, p.axes) : null;
  const dc = mean ? e.sub(b, dx, mean) : dx;
  const inverse = inverseTangent(b, p, dc);
  return { mean, inverse, normalized: e.add(b, e.mul(b, dc, p.inverse), e.mul(b, p.centered, inverse)) };
}

/** ṙ for v = mean c², s = √(v + ε), r = 1/s: v̇ = mean 2c·ċ, ṡ = v̇/(2s), ṙ = −ṡ r². */
function inverseTangent(b: e.B, p: Standardized, dc: e.V): e.V {
  const dv = e.reduceMean(b, e.scale(b, e.mul(b, dc, p.centered), 2), p.axes);
  const square = e.square(b, p.inverse);
  if (!p.deviation) return e.mul(b, dv, e.scale(b, e.mul(b, square, p.inverse), -0.5));
  const ds = e.mul(b, dv, e.div(b, e.scalarLike(b, 0.5, dv), p.deviation));
  return e.mul(b, ds, e.neg(b, square));
}
