import type { Node } from "../ir/graph.js";
import { normalizeAxis } from "../util/shape.js";
import * as e from "./emit.js";
import type { JvpRule, Values, VjpRule } from "./rule.js";
import { standardize, standardizeJvp, standardizeVjp, type Standardized } from "./standardize.js";

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

/** The node's own output at a position, in the dtype of its input; null where it gives none. */
function saved(b: e.B, node: Node, position: number | undefined): e.V | null {
  const output = position === undefined ? null : node.outputs[position];
  return output ? e.cast(b, output, node.input(0).dtype) : null;
}

/** The node's intermediate values: its own outputs where it gives them, else primitive operators. */
const parts = (b: e.B, node: Node, kind: Kind): Standardized =>
  standardize(b, node.input(0), axesOf(node), node.float("epsilon", 1e-5), {
    centers: kind.centers,
    mean: saved(b, node, kind.meanOutput),
    inverse: saved(b, node, kind.inverseOutput),
  });

/** With a = dy·s: dx as `standardizeVjp` has it, ds = Σ dy·x̂, db = Σ dy (both summed down by the caller). */
export const normalizationVjp =
  (kind: Kind): VjpRule =>
  ({ b }, node, cotangents, need) => {
    const dy = cotangents[0] ?? null;
    const p = parts(b, node, kind);
    const scale = node.input(1);
    let dx: e.V | null = null;
    if (need[0] && dy) {
      const inner = scaledMean(b, e.mul(b, dy, p.normalized), scale, p.axes);
      dx = standardizeVjp(b, p, e.mul(b, dy, scale), inner);
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

/** Cotangents of the mean μ and of r, where these are outputs, add dμ/n − dr·r²·x̂/n. */
function savedCotangents(
  b: e.B,
  node: Node,
  kind: Kind,
  p: Standardized,
  cotangents: Values,
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

/** ẏ = s·x̂˙ + ṡ·x̂ + ḃ. */
export const normalizationJvp =
  (kind: Kind): JvpRule =>
  ({ b }, node, [dx, ds, db]) => {
    const p = parts(b, node, kind);
    const results: (e.V | null)[] = node.outputs.map(() => null);
    let dy: e.V | null = null;
    if (dx) {
      const d = standardizeJvp(b, p, dx);
      dy = e.mul(b, d.normalized, node.input(1));
      put(b, node, results, kind.meanOutput, d.mean);
      put(b, node, results, kind.inverseOutput, d.inverse);
    }
    for (const term of [ds ? e.mul(b, p.normalized, ds) : null, db ?? null])
      if (term) dy = dy ? e.add(b, dy, term) : e.expandLike(b, term, node.output());
    results[0] = dy;
    return results;
  };

function put(b: e.B, node: Node, results: (e.V | null)[], position: number | undefined, d: e.V | null): void {
  const output = position === undefined ? null : node.outputs[position];
  if (position !== undefined && output && d) results[position] = e.cast(b, d, output.dtype);
}
