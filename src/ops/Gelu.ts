import { string } from "../ir/graph.js";
import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** Φ(x) + x φ(x); the factor 1/√(2π) of φ is folded into its exponent, one pass over the data less. */
function exact(b: e.B, x: e.V): e.V {
  const u = e.scale(b, x, Math.SQRT1_2);
  const cdf = e.shift(b, e.scale(b, e.erf(b, u), 0.5), 0.5);
  const pdf = e.exp(b, e.sub(b, e.scalarLike(b, -0.5 * Math.log(2 * Math.PI), x), e.square(b, u)));
  return e.add(b, cdf, e.mul(b, x, pdf));
}

/** Derivative of ½x(1 + t), t = tanh(c(x + 0.044715 x³)), c = √(2/π). */
function approximate(b: e.B, x: e.V): e.V {
  const c = Math.sqrt(2 / Math.PI);
  const square = e.square(b, x);
  const t = e.tanh(b, e.mul(b, x, e.shift(b, e.scale(b, square, c * 0.044715), c)));
  const inner = e.shift(b, e.scale(b, square, 0.5 * c * 3 * 0.044715), 0.5 * c);
  const rise = e.mul(b, e.mul(b, x, inner), e.sub(b, e.scalarLike(b, 1, x), e.square(b, t)));
  return e.add(b, e.shift(b, e.scale(b, t, 0.5), 0.5), rise);
}

/** y = x Φ(x), or its tanh approximation. */
export const rule: OpRule<"Gelu"> = pointwise(
  "Gelu",
  20,
  (b, x, _, node) => (node.string("approximate", "none") === "tanh" ? approximate(b, x) : exact(b, x)),
  [
    { inputs: [{ shape: [2, 3], range: [-2, 2] }] },
    { name: "tanh", inputs: [{ shape: [2, 3], range: [-2, 2] }], attributes: { approximate: string("tanh") } },
  ],
);
