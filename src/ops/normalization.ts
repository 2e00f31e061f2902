import type { Node } from "../ir/graph.js";
import { normalizeAxis } from "../util/shape.js";
import * as e from "./emit.js";
import type { JvpRule, VjpRule } from "./rule.js";

/** What a normalization over the last axes computes, given again as primitive operators: r = 1/√(mean c² + ε), x̂ = c·r. */
interface Parts {
  axes: number[];
  /** x − mean x, or x where the mean is not taken off. */
  centered: e.V;
  inverse: e.V;
  normalized: e.V;
  /** √(mean c² + ε), where it is computed here. */
  deviation: e.V | null;
}

export interface Kind {
  /** Whether the mean is taken off (layer normalization) or not (root mean square). */
  centers: boolean;
  /** Positions of the outputs that hold the mean and 1/√(…), where the operator has them. */
  meanOutput?: number;
  inverseOutput?: number;
}

const axesOf = (node: Node): number[] => {
  const rank = node.input(0).dims.length;
  const first = normalizeAxis(node.int("axis", -1), rank);
  return Array.from({ length: rank - first }, (_, i) => first + i);
};

const saved = (node: Node, position: number | undefined): e.V | null =>
  position === undefined ? null : (node.outputs[position] ?? null);

/** The node's intermediate values: its own outputs where it gives them, else primitive operators, which the builder shares. */
function parts(b: e.B, node: Node, kind: Kind): Parts {
  const x = node.input(0);
  const axes = axesOf(node);
  const mean = kind.centers ? (saved(node, kind.meanOutput) ?? e.reduceMean(b, x, axes)) : null;
  const centered = mean ? e.sub(b, x, e.cast(b, mean, x.dtype)) : x;
  const given = saved(node, kind.inverseOutput);
  const deviation = given ? null : e.sqrt(b, e.shift(b, meanSquare(b, centered, axes), node.float("epsilon", 1e-5)));
  const inverse = given ? e.cast(b, given, x.dtype) : e.reciprocal(b, deviation ?? x);
  return { axes, centered, inverse, normalized: e.mul(b, centered, inverse), deviation };
}

/** By a product and a mean: the runtime's kernel for sums of squares is slower than both. */
const meanSquare = (b: e.B, v: e.V, axes: readonly number[]): e.V => e.reduceMean(b, e.square(b, v), axes);

/**
 * With a = dy·s: dx = r(a − mean a − x̂·mean(a·x̂)), ds = Σ dy·x̂, db = Σ dy (both summed down by the caller). Cotangents
 * of the mean μ and of r add dμ/n − dr·r²·x̂/n.
 */
export const normalizationVjp =
  (kind: Kind): VjpRule =>
  ({ b }, node, cotangents, need) => {
    const dy = cotangents[0] ?? null;
    const p = parts(b, node, kind);
    const scale = node.input(1);
    let dx: e.V | null = null;
    if (need[0] && dy) {
      const a = e.mul(b, dy, scale);
      const along = e.mul(b, p.normalized, scaledMean(b, e.mul(b, dy, p.normalized), scale, p.axes));
      const rest = kind.centers ? e.sub(b, a, e.reduceMean(b, a, p.axes)) : a;
      dx = e.mul(b, p.inverse, e.sub(b, rest, along));
    }
    if (need[0]) dx = savedCotangents(b, node, kind, p, cotangents, dx);
    return [dx, dy && need[1] ? e.mul(b, dy, p.normalized) : null, dy && need[2] ? dy : null];
  };

/** mean(v·s) over the axes: over one axis a product with a matrix of one column, which reads v once and writes little. */
function scaledMean(b: e.B, v: e.V, scale: e.V, axes: readonly number[]): e.V {
  // A scale of one element broadcasts.
  const fits = scale.shape?.length === 1 && scale.shape[0] === v.dims.at(-1);
  if (axes.length > 1 || !fits) return e.reduceMean(b, e.mul(b, v, scale), axes);
  const column = e.unsqueeze(b, scale, [1]);
  return e.div(b, e.matmul(b, v, column), e.countOf(b, v, axes));
}

function savedCotangents(
  b: e.B,
  node: Node,
  kind: Kind,
  p: Parts,
  cotangents: readonly (e.V | null)[],
  dx: e.V | null,
): e.V | null {
  const x = node.input(0);
  const count = e.countOf(b, x, p.axes);
  const dmean = kind.meanOutput === undefined ? null : cotangents[kind.meanOutput];
  const dinverse = kind.inverseOutput === undefined ? null : cotangents[kind.inverseOutput];
  let sum = dx;
  if (dmean) {
    const each = e.expandLike(b, e.div(b, e.cast(b, dmean, x.dtype), count), x);
    sum = sum ? e.add(b, sum, each) : each;
  }
  if (dinverse) {
    const factor = e.div(b, e.mul(b, e.cast(b, dinverse, x.dtype), e.square(b, p.inverse)), count);
    const each = e.mul(b, p.normalized, factor);
    sum = sum ? e.sub(b, sum, each) : e.neg(b, each);
  }
  return sum;
}

/**
 * ċ = ẋ − mean ẋ, ṙ = −r³·mean(c·ċ), ẏ = s(ċ·r + c·ṙ) + ṡ·x̂ + ḃ. Written in the operators that forward mode emits for the
 * primitive operators of `parts`, so that a Hessian-vector product shares them.
 */
export const normalizationJvp =
  (kind: Kind): JvpRule =>
  ({ b }, node, [dx, ds, db]) => {
    const p = parts(b, node, kind);
    const results: (e.V | null)[] = node.outputs.map(() => null);
    let dy: e.V | null = null;
    if (dx) {
      const dmean = kind.centers ? e.reduceMean(b, dx, p.axes) : null;
      const dc = dmean ? e.sub(b, dx, dmean) : dx;
      const dinverse = inverseTangent(b, p, dc);
      const dnormalized = e.add(b, e.mul(b, dc, p.inverse), e.mul(b, p.centered, dinverse));
      dy = e.mul(b, dnormalized, node.input(1));
      put(b, node, results, kind.meanOutput, dmean);
      put(b, node, results, kind.inverseOutput, dinverse);
    }
    for (const term of [ds ? e.mul(b, p.normalized, ds) : null, db ?? null])
      if (term) dy = dy ? e.add(b, dy, term) : e.expandLike(b, term, node.output());
    results[0] = dy;
    return results;
  };

/** ṙ for v = mean c², s = √(v + ε), r = 1/s: v̇ = mean 2c·ċ, ṡ = v̇/(2s), ṙ = −ṡ r². */
function inverseTangent(b: e.B, p: Parts, dc: e.V): e.V {
  const dv = e.reduceMean(b, e.scale(b, e.mul(b, dc, p.centered), 2), p.axes);
  const square = e.square(b, p.inverse);
  if (!p.deviation) return e.mul(b, dv, e.scale(b, e.mul(b, square, p.inverse), -0.5));
  const ds = e.mul(b, dv, e.div(b, e.scalarLike(b, 0.5, dv), p.deviation));
  return e.mul(b, ds, e.neg(b, square));
}

function put(b: e.B, node: Node, results: (e.V | null)[], position: number | undefined, d: e.V | null): void {
  const output = position === undefined ? null : node.outputs[position];
  if (position !== undefined && output && d) results[position] = e.cast(b, d, output.dtype);
}
