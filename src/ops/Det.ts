import { Tensor } from "../ir/tensor.js";
import { check } from "../util/assert.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/**
 * y = det x over the last two axes, by Faddeev and LeVerrier's recursion: M₁ = I, c₁ = −tr x; Mₖ = x Mₖ₋₁ + cₖ₋₁ I,
 * cₖ = −tr(x Mₖ)/k; det x = (−1)ⁿ cₙ. Products only, so that a singular matrix has its derivatives too (the adjugate),
 * as in PyTorch; for small matrices, as rounding grows with n.
 */
export const rule: OpRule<"Det"> = composite({
  op: "Det",
  since: 11,
  decompose: (b, node) => {
    const x = node.input(0);
    const n = x.dims.at(-1);
    check(typeof n === "number", () => `${node.label}: a derivative needs to know the size of its matrices`);
    const identity = Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
    const unit = b.constant(Tensor.of(x.dtype, [n, n], identity));
    const axes = [x.dims.length - 2, x.dims.length - 1];
    const trace = (m: e.V): e.V => e.reduceSum(b, e.mul(b, m, unit), axes);
    let product = x;
    let c = e.neg(b, trace(x));
    for (let k = 2; k <= n; k++) {
      product = e.matmul(b, x, e.add(b, product, e.mul(b, c, unit)));
      c = e.scale(b, trace(product), -1 / k);
    }
    const det = n % 2 === 0 ? c : e.neg(b, c);
    return [e.squeeze(b, det, axes)];
  },
  samples: [
    { inputs: [{ shape: [3, 3], fixed: [1] }] },
    { name: "a batch", inputs: [{ shape: [2, 2, 2], fixed: [2] }] },
    { name: "one element", inputs: [{ shape: [2, 1, 1], fixed: [2] }] },
    { name: "singular", inputs: [{ shape: [2, 2], values: [1, 2, 2, 4], fixed: [1] }] },
  ],
});
