import { float, int, type Node } from "../../ir/graph.js";
import { both, attend, indexAlong, joinHeads, maskOf, repeatHeads, splitHeads, type Mask } from "../attention.js";
import { composite } from "../composite.js";
import * as e from "../emit.js";
import type { LoweredRule, SampleInput } from "../rule.js";

/** The mask's last axis may be shorter than the keys are many: those beyond it do not count. */
function lengthened(b: e.B, { allowed, bias }: Mask, mask: e.V, keys: e.V): Mask {
  const axis = mask.dims.length - 1;
  if (mask.dims[axis] === keys.dims[2]) return { allowed, bias };
  const [at, size] = [indexAlong(b, keys, 2), e.squeeze(b, e.dimOf(b, mask, axis), [0])];
  const inside = e.min(b, at, e.sub(b, size, b.scalar(1, "int64")));
  const taken = (v: e.V | null): e.V | null => v && e.gather(b, v, inside, axis);
  return { allowed: both(b, taken(allowed), e.less(b, at, size)), bias: taken(bias) };
}

/** Which keys count for which queries: by the mask, by their order, and by how many there are. */
function maskFor(b: e.B, node: Node, q: e.V, k: e.V): Mask {
  const [given, past, lengths] = [node.inputs[3], node.inputs[4], node.inputs[6]];
  let mask: Mask = given ? lengthened(b, maskOf(b, given), given, k) : { allowed: null, bias: null };
  const keys = indexAlong(b, k, 2);
  // [batch, 1, 1, 1]
  const counts = lengths && e.unsqueeze(b, lengths, [1, 2, 3]);
  if (node.int("is_causal", 0) !== 0) {
    const own = e.dimOf(b, q, 2);
    const before = counts ? e.sub(b, counts, own) : past ? e.dimOf(b, past, 2) : b.int64s([0]);
    const queries = e.add(b, e.unsqueeze(b, indexAlong(b, q, 2), [1]), before);
    mask = { ...mask, allowed: both(b, mask.allowed, e.lessOrEqual(b, keys, queries)) };
  }
  if (counts) mask = { ...mask, allowed: both(b, mask.allowed, e.less(b, keys, counts)) };
  return mask;
}

/**
 * softmax(cap(s·QKᵀ) + mask)·V, of [batch, heads, length, size] or [batch, length, heads·size]; heads of keys may serve
 * several of queries. A query for which no key counts gives zeros.
 */
export const rule: LoweredRule<"Attention"> = composite({
  op: "Attention",
  since: 24,
  decompose: (b, node) => {
    const three = node.input(0).dims.length === 3;
    const split = (x: e.V, heads: number): e.V => (three ? splitHeads(b, x, heads) : x);
    const q = split(node.input(0), node.int("q_num_heads", 1));
    const joined = (i: number): e.V => {
      const [own, past] = [split(node.input(i), node.int("kv_num_heads", 1)), node.inputs[i + 3]];
      return past ? e.concat(b, [past, own], 2) : own;
    };
    const [k, v] = [joined(1), joined(2)];
    const times = Number(q.dims[1]) / Number(k.dims[1]);
    const size = Number(q.dims[3]);
    const scores = attend(b, [q, repeatHeads(b, k, times), repeatHeads(b, v, times)], {
      scale: node.float("scale") ?? 1 / Math.sqrt(size),
      softcap: node.float("softcap", 0),
      mask: maskFor(b, node, q, k),
    });
    const stages = [scores.raw, scores.capped, scores.masked, scores.weights];
    const y = three ? joinHeads(b, scores.y) : scores.y;
    return [y, k, v, stages[node.int("qk_matmul_output_mode", 0)]].map((o, i) =>
      node.outputs[i] ? (o ?? null) : null,
    );
  },
  samples: [
    { inputs: [x(1, 2, 3, 2), x(1, 2, 4, 2), x(1, 2, 4, 3)] },
    {
      name: "three axes, causal, shared heads, capped",
      inputs: [x(1, 3, 8), x(1, 3, 4), x(1, 3, 4)],
      attributes: { q_num_heads: int(4), kv_num_heads: int(2), is_causal: int(1), softcap: float(0.7) },
    },
    {
      name: "a mask that is added, a scale",
      inputs: [x(2, 1, 2, 2), x(2, 1, 3, 2), x(2, 1, 3, 2), x(2, 3)],
      attributes: { scale: float(0.6) },
    },
    {
      name: "a mask of booleans, a row of which is empty",
      inputs: [
        x(1, 1, 2, 2),
        x(1, 1, 3, 2),
        x(1, 1, 3, 2),
        { shape: [2, 3], dtype: "bool", values: [1, 0, 1, 0, 0, 0] },
      ],
    },
    {
      name: "what came before, all outputs",
      inputs: [x(1, 2, 2, 2), x(1, 2, 2, 2), x(1, 2, 2, 3), null, x(1, 2, 1, 2), x(1, 2, 1, 3)],
      attributes: { is_causal: int(1), qk_matmul_output_mode: int(3) },
      outputs: 4,
    },
  ],
});

/** The heads and their sizes are known. */
function x(...shape: number[]): SampleInput {
  return { shape, fixed: shape.length === 4 ? [1, 3] : [2] };
}
