import { int, tensorType } from "../../../ir/graph.js";
import { check } from "../../../util/assert.js";
import { attend, both, indexAlong, joinHeads, repeatHeads, rotate, splitHeads } from "../../attention.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import { notAfter } from "../../paddingMask.js";
import type { LoweredRule } from "../../rule.js";

/**
 * Causal attention whose heads of keys serve several of queries, with rotary embeddings: of whole sequences, as in
 * training, so that nothing is before them in the cache.
 */
export const rule: LoweredRule<"GroupQueryAttention"> = composite({
  op: "GroupQueryAttention",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const [heads, keyHeads] = [node.int("num_heads", 1), node.int("kv_num_heads", 1)];
    const [first, second, third, past, lengths] = [
      node.input(0),
      node.inputs[1],
      node.inputs[2],
      node.inputs[3],
      node.input(5),
    ];
    const [cos, sin] = [node.inputs[7], node.inputs[8]];
    check(!past || past.dims[2] === 0, () => `${node.label}: a cache before the sequence has no derivative here`);
    const unsupported = [11, 12, 13, 14, 15, 16].some((i) => node.inputs[i]);
    check(
      !unsupported && node.int("smooth_softmax", 0) <= 0,
      () => `${node.label}: sinks, norms and quantized caches have no derivative here`,
    );
    const part = (from: number, count: number): e.V => {
      const all = first.dims[2];
      check(typeof all === "number", () => `${node.label}: the hidden size of its input is not known`);
      const size = all / (heads + 2 * keyHeads);
      const type = tensorType(first.dtype, [...first.dims.slice(0, 2), count * size]);
      return e.slice(b, first, b.int64s([from * size]), b.int64s([(from + count) * size]), [2], type);
    };
    const whole: [e.V, e.V, e.V] =
      second && third
        ? [first, second, third]
        : [part(0, heads), part(heads, keyHeads), part(heads + keyHeads, keyHeads)];
    const turned = (x: e.V): e.V => {
      if (node.int("do_rotary", 0) === 0 || !cos || !sin) return x;
      const at = node.inputs[9] ?? indexAlong(b, x, 2);
      const angles = (cache: e.V): e.V => {
        const read = e.gather(b, cache, at, 0);
        return node.inputs[9] ? e.unsqueeze(b, read, [1]) : read;
      };
      return rotate(b, x, angles(cos), angles(sin), 2 * Number(cos.dims[1]), node.int("rotary_interleaved", 0) !== 0);
    };
    const q = turned(splitHeads(b, whole[0], heads));
    const k = turned(splitHeads(b, whole[1], keyHeads));
    const v = splitHeads(b, whole[2], keyHeads);
    // [batch, 1, 1, 1]: the last key that counts.
    const last = e.unsqueeze(b, e.cast(b, e.reshape(b, lengths, [-1]), "int64"), [1, 2, 3]);
    let allowed = both(b, notAfter(b, q, k), e.lessOrEqual(b, indexAlong(b, k, 2), last));
    const window = node.int("local_window_size", -1);
    if (window > 0) {
      const distance = e.sub(b, e.unsqueeze(b, indexAlong(b, q, 2), [1]), indexAlong(b, k, 2));
      allowed = both(b, allowed, e.less(b, distance, b.scalar(window, "int64")));
    }
    const times = heads / keyHeads;
    const { y } = attend(b, [q, repeatHeads(b, k, times), repeatHeads(b, v, times)], {
      scale: node.float("scale", 0) || 1 / Math.sqrt(Number(q.dims[3])),
      softcap: node.float("softcap", 0),
      mask: { allowed, bias: node.inputs[10] ?? null },
    });
    return [joinHeads(b, y), node.outputs[1] ? k : null, node.outputs[2] ? v : null];
  },
  samples: [
    {
      inputs: [x(1, 3, 16), x(1, 3, 8), x(1, 3, 8), null, null, lengths(2), total(3)],
      attributes: { num_heads: int(2), kv_num_heads: int(1) },
      outputs: 3,
    },
    {
      name: "packed, turned",
      inputs: [x(1, 2, 64), null, null, null, null, lengths(1), total(2), x(4, 8), x(4, 8)],
      attributes: { num_heads: int(2), kv_num_heads: int(1), do_rotary: int(1) },
      outputs: 3,
    },
  ],
});

function x(...shape: number[]) {
  return { shape, fixed: [shape.length - 1] };
}

function lengths(...values: number[]) {
  return { shape: [values.length], dtype: "int32" as const, values };
}

function total(value: number) {
  return { shape: [], dtype: "int32" as const, values: [value], constant: true };
}
