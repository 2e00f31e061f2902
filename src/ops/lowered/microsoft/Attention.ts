import { int, tensorType } from "../../../ir/graph.js";
import { check } from "../../../util/assert.js";
import { attend, joinHeads, splitHeads } from "../../attention.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import { addedUp, notAfter, paddingBias } from "../../paddingMask.js";
import type { LoweredRule } from "../../rule.js";

/** Self-attention with the projections of its queries, keys and values: softmax(s·QKᵀ + masks)·V for [Q K V] = xW + b. */
export const rule: LoweredRule<"Attention"> = composite({
  op: "Attention",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const [x, weights, bias, mask, past] = [node.input(0), node.input(1), ...[2, 3, 4].map((i) => node.inputs[i])];
    check(node.int("do_rotary", 0) === 0, () => `${node.label}: do_rotary = 1 has no derivative here`);
    const heads = node.int("num_heads", 1);
    const product = e.matmul(b, x, weights);
    const projected = bias ? e.add(b, product, bias) : product;
    const whole = weights.dims[1];
    check(typeof whole === "number", () => `${node.label}: the size of its weights is not known`);
    const sizes = node.ints("qkv_hidden_sizes") ?? [whole / 3, whole / 3, whole / 3];
    const part = (i: number): e.V => {
      const start = sizes.slice(0, i).reduce((n, s) => n + s, 0);
      const size = sizes[i] ?? 0;
      const type = tensorType(x.dtype, [...projected.dims.slice(0, 2), size]);
      return splitHeads(b, e.slice(b, projected, b.int64s([start]), b.int64s([start + size]), [2], type), heads);
    };
    const before = (i: number): e.V | null => (past ? e.gather(b, past, b.scalar(i, "int64"), 0) : null);
    const following = (own: e.V, i: number): e.V => {
      const earlier = before(i);
      return earlier ? e.concat(b, [earlier, own], 2) : own;
    };
    const [q, k, v] = [part(0), following(part(1), 0), following(part(2), 1)];
    const padding = mask ? paddingBias(b, node, mask, k) : null;
    const allowed = node.int("unidirectional", 0) !== 0 ? notAfter(b, q, k) : null;
    const scale = node.float("scale", 0) || 1 / Math.sqrt((sizes[0] ?? 1) / heads);
    const { y } = attend(b, [q, k, v], { scale, mask: { allowed, bias: addedUp(b, padding, node.inputs[5]) } });
    const present = (): e.V => e.concat(b, [e.unsqueeze(b, k, [0]), e.unsqueeze(b, v, [0])], 0);
    return [joinHeads(b, y), node.outputs[1] ? present() : null];
  },
  samples: [
    {
      inputs: [
        { shape: [2, 3, 3], fixed: [2] },
        { shape: [3, 12], fixed: [1] },
        { shape: [12], fixed: [0] },
        { shape: [2, 3], dtype: "int32", values: [1, 1, 1, 1, 0, 0] },
      ],
      attributes: { num_heads: int(2) },
    },
    {
      name: "each query sees what is before it",
      inputs: [
        { shape: [1, 3, 2], fixed: [2] },
        { shape: [2, 6], fixed: [1] },
        { shape: [6], fixed: [0] },
      ],
      attributes: { num_heads: int(1), unidirectional: int(1) },
    },
  ],
});
