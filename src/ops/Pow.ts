import type { Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { constantScalar } from "./shapes.js";
import { broadcasting } from "./types.js";

/** ∂y/∂x = p xᵖ⁻¹, and 0 where p = 0 whatever x is, as in PyTorch. Null: zero everywhere. */
function byBase(b: e.B, node: Node): e.V | null {
  const x = node.input(0);
  const p = constantScalar(b, node.input(1));
  if (p === 0) return null;
  if (p === 1) return e.scalarLike(b, 1, x);
  if (p === 2) return e.scale(b, x, 2);
  if (p === 3) return e.scale(b, e.square(b, x), 3);
  if (p === 0.5) return e.div(b, e.scalarLike(b, 0.5, x), node.output());
  if (p === -1) return e.neg(b, e.square(b, node.output()));
  if (p !== undefined) return e.scale(b, e.pow(b, x, e.scalarLike(b, p - 1, x)), p);
  const exponent = e.cast(b, node.input(1), x.dtype);
  const slope = e.mul(b, exponent, e.pow(b, x, e.shift(b, exponent, -1)));
  const zero = e.scalarLike(b, 0, x);
  return e.where(b, e.equal(b, exponent, zero), zero, slope);
}

/** ∂y/∂p = y ln x, and 0 where x = 0 and p ≥ 0, as in PyTorch. */
function byExponent(b: e.B, node: Node): e.V {
  const x = node.input(0);
  const p = e.cast(b, node.input(1), x.dtype);
  const zero = e.scalarLike(b, 0, x);
  const vanishes = e.and(b, e.equal(b, x, zero), e.greaterOrEqual(b, p, zero));
  const base = e.where(b, vanishes, e.scalarLike(b, 1, x), x);
  return e.mul(b, node.output(), e.log(b, base));
}

/** y = xᵖ elementwise, broadcasting; y has the dtype of x. */
export const rule: OpRule<"Pow"> = {
  op: "Pow",
  since: 15,
  vjp: ({ b }, node, [dy], need) => {
    const base = dy && need[0] ? byBase(b, node) : null;
    const exponent = dy && need[1] ? e.mul(b, dy, byExponent(b, node)) : null;
    return [dy && base ? e.mul(b, dy, base) : null, exponent && e.cast(b, exponent, node.input(1).dtype)];
  },
  jvp: ({ b }, node, [dx, dp]) => {
    const base = dx ? byBase(b, node) : null;
    const first = dx && base ? e.mul(b, dx, base) : null;
    const second = dp ? e.mul(b, e.cast(b, dp, node.input(0).dtype), byExponent(b, node)) : null;
    const sum = first && second ? e.add(b, first, second) : (first ?? second);
    return [sum && e.expandLike(b, sum, node.output())];
  },
  infer: broadcasting(),
  samples: [
    { inputs: [{ shape: [2, 3], range: [0.5, 2] }, { shape: [2, 3] }] },
    { name: "broadcast", inputs: [{ shape: [2, 1], range: [0.5, 2] }, { shape: [3] }] },
    ...[2, 3, 1, 0, 4].map((p) => ({
      name: `constant exponent ${p}`,
      inputs: [{ shape: [2, 3] }, { shape: [], values: [p], constant: true }],
    })),
    ...[0.5, -1, 1.7].map((p) => ({
      name: `constant exponent ${p}`,
      inputs: [
        { shape: [2, 3], range: [0.5, 2] as const },
        { shape: [], values: [p], constant: true },
      ],
    })),
    {
      name: "integer exponents",
      inputs: [{ shape: [2, 3] }, { shape: [3], dtype: "int64", values: [0, 1, 3] }],
    },
    {
      name: "constant exponent that broadcasts the base",
      inputs: [{ shape: [3] }, { shape: [2, 1], values: [2, 3], constant: true }],
    },
  ],
};
