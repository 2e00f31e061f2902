import { float, int, tensorType, type Node } from "../ir/graph.js";
import { freshDim } from "../util/shape.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { like } from "./types.js";

/** Σ over the channels from `before` before each to `after` after it. */
function windowSum(b: e.B, v: e.V, before: number, after: number): e.V {
  const { shape, dtype } = v;
  const wide = tensorType(dtype, shape && [shape[0] ?? 1, freshDim(), ...shape.slice(2)]);
  const padded = e.pad(b, v, [b.int64s([before])], [b.int64s([after])], [1], wide);
  const size = e.dimOf(b, v, 1);
  let sum: e.V | null = null;
  for (let i = 0; i <= before + after; i++) {
    const start = b.int64s([i]);
    const part = e.slice(b, padded, start, e.add(b, start, size), [1], tensorType(dtype, shape));
    sum = sum ? e.add(b, sum, part) : part;
  }
  return sum ?? v;
}

interface Parts {
  before: number;
  after: number;
  /** S⁻ᵝ and x·S⁻ᵝ⁻¹·2αβ/size. */
  power: e.V;
  slope: e.V;
}

function parts(b: e.B, node: Node): Parts {
  const x = node.input(0);
  const size = node.int("size", 1);
  const [alpha, beta] = [node.float("alpha", 1e-4), node.float("beta", 0.75)];
  const before = Math.floor((size - 1) / 2);
  const after = size - 1 - before;
  const sums = windowSum(b, e.square(b, x), before, after);
  const base = e.shift(b, e.scale(b, sums, alpha / size), node.float("bias", 1));
  const power = e.pow(b, base, e.scalarLike(b, -beta, x));
  return { before, after, power, slope: e.scale(b, e.mul(b, x, e.div(b, power, base)), (2 * alpha * beta) / size) };
}

/** y = x·S⁻ᵝ with S = bias + α/size · Σ x² over neighbouring channels. */
export const rule: OpRule<"LRN"> = {
  op: "LRN",
  since: 13,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null];
    const { before, after, power, slope } = parts(b, node);
    const back = windowSum(b, e.mul(b, dy, slope), after, before);
    return [e.sub(b, e.mul(b, dy, power), e.mul(b, node.input(0), back))];
  },
  jvp: ({ b }, node, [dx]) => {
    if (!dx) return [null];
    const { before, after, power, slope } = parts(b, node);
    const sums = windowSum(b, e.mul(b, dx, node.input(0)), before, after);
    return [e.sub(b, e.mul(b, dx, power), e.mul(b, slope, sums))];
  },
  infer: like(),
  samples: [
    { inputs: [{ shape: [2, 4, 2, 2] }], attributes: { size: int(3), alpha: float(0.5), bias: float(1.5) } },
    {
      name: "window wider than the channels",
      inputs: [{ shape: [1, 3, 2, 1] }],
      attributes: { size: int(5), alpha: float(0.3), beta: float(0.5) },
    },
  ],
};
