import { float, int, tensorType } from "../../../ir/graph.js";
import { check } from "../../../util/assert.js";
import { attend, joinHeads, splitHeads } from "../../attention.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import { addedUp, notAfter, paddingBias } from "../../paddingMask.js";
import type { LoweredRule } from "../../rule.js";

/** One of the parts that lie behind one another on the axis 3 of [batch, length, heads, parts, size], heads before length. */
function unpacked(b: e.B, x: e.V, i: number): e.V {
  return e.transpose(b, e.gather(b, x, b.scalar(i, "int64"), 3), [0, 2, 1, 3]);
}

/** softmax(s·QKᵀ + masks)·V; q, k and v apart or packed, with one bias for the three. */
export const rule: LoweredRule<"MultiHeadAttention"> = composite({
  op: "MultiHeadAttention",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const heads = node.int("num_heads", 1);
    const [first, second, third, bias] = [node.input(0), node.inputs[1], node.inputs[2], node.inputs[3]];
    check(!node.inputs[8] && !node.inputs[9], () => `${node.label}: a buffer of keys has no derivative here`);
    const hidden = first.dims.length === 3 ? first.dims[2] : undefined;
    check(!bias || typeof hidden === "number", () => `${node.label}: the hidden size of its queries is not known`);
    const shifted = (x: e.V, i: number): e.V => {
      const size = Number(hidden);
      if (!bias) return x;
      const last = i === 2 ? 2 ** 31 : (i + 1) * size;
      const type = tensorType(bias.dtype, [x.dims[2] ?? size]);
      return e.add(b, x, e.slice(b, bias, b.int64s([i * size]), b.int64s([last]), [0], type));
    };
    const head = (x: e.V, i: number): e.V => (x.dims.length === 4 ? x : splitHeads(b, shifted(x, i), heads));
    const parts = (): [e.V, e.V, e.V] => {
      if (!second) return [unpacked(b, first, 0), unpacked(b, first, 1), unpacked(b, first, 2)];
      if (!third) return [head(first, 0), unpacked(b, second, 0), unpacked(b, second, 1)];
      return [head(first, 0), head(second, 1), head(third, 2)];
    };
    const [q, ownKeys, ownValues] = parts();
    const [pastKeys, pastValues] = [node.inputs[6], node.inputs[7]];
    const k = pastKeys ? e.concat(b, [pastKeys, ownKeys], 2) : ownKeys;
    const v = pastValues ? e.concat(b, [pastValues, ownValues], 2) : ownValues;
    const padding = node.inputs[4] && paddingBias(b, node, node.inputs[4], k);
    const allowed = node.int("unidirectional", 0) !== 0 ? notAfter(b, q, k) : null;
    const scale = node.float("scale", 0) || 1 / Math.sqrt(Number(q.dims[3]));
    const { y } = attend(b, [q, k, v], { scale, mask: { allowed, bias: addedUp(b, padding, node.inputs[5]) } });
    return [joinHeads(b, y), node.outputs[1] ? k : null, node.outputs[2] ? v : null];
  },
  samples: [
    {
      inputs: [
        x(2, 2, 4),
        x(2, 3, 4),
        x(2, 3, 4),
        x(12),
        { shape: [2, 3], dtype: "int32", values: [1, 1, 0, 1, 1, 1] },
      ],
      attributes: { num_heads: int(2) },
    },
    {
      name: "each query sees what is before it, a bias of scores",
      inputs: [x(1, 3, 4), x(1, 3, 4), x(1, 3, 4), null, null, x(1, 2, 3, 3)],
      attributes: { num_heads: int(2), unidirectional: int(1), scale: float(0.6) },
    },
    {
      name: "keys and values packed",
      noKernel: true,
      inputs: [x(1, 2, 4), { shape: [1, 3, 2, 2, 2], fixed: [2, 3, 4] }],
      attributes: { num_heads: int(2) },
    },
    {
      name: "all packed",
      noKernel: true,
      inputs: [{ shape: [1, 2, 2, 3, 2], fixed: [2, 3, 4] }],
      attributes: { num_heads: int(2) },
    },
  ],
});

function x(...shape: number[]) {
  return { shape, fixed: shape.length === 3 ? [2] : [] };
}
