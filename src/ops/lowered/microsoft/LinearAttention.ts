import { float, int, string, tensorType, type Node } from "../../../ir/graph.js";
import { check, must } from "../../../util/assert.js";
import { part } from "../../attention.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import { Iteration, elementAt } from "../../iteration.js";
import type { LoweredRule } from "../../rule.js";

/** [batch, length, heads·rows·size] as [length, batch, heads, rows, size]: one position after the other. */
function perPosition(b: e.B, x: e.V, heads: number, rows: number): e.V {
  const [batch, length, hidden] = x.dims;
  const type = tensorType(x.dtype, [batch ?? 1, length ?? 1, heads, rows, part(hidden, heads * rows)]);
  return e.transpose(
    b,
    b.op("Reshape", [x, b.int64s([0, 0, heads, rows, -1])], {}, { types: [type] }),
    [1, 0, 2, 3, 4],
  );
}

/** [length, batch, heads, rows, size] as [batch, length, heads·rows·size]. */
function packed(b: e.B, x: e.V, type: e.V["type"]): e.V {
  return b.op("Reshape", [e.transpose(b, x, [1, 0, 2, 3, 4]), b.int64s([0, 0, -1])], {}, { types: [type] });
}

/** Zeros, a state of each element of the batch: [batch, heads, size of keys, size of values]. */
function emptyState(b: e.B, x: e.V, like: e.V, type: e.V["type"], sizes: readonly e.V[]): e.V {
  return e.expand(b, e.scalarLike(b, 0, like), e.joinConstants(b, [e.dimOf(b, x, 0), ...sizes]), type);
}

const rules = ["linear", "gated", "delta", "gated_delta"];

function ruleOf(node: Node): { gated: boolean; delta: boolean } {
  const name = node.string("update_rule", "gated_delta");
  check(rules.includes(name), () => `${node.label}: its update_rule is ${name}; ${rules.join(", ")} exist`);
  return { gated: name.startsWith("gated"), delta: name.endsWith("delta") };
}

/**
 * S_t = S + k_t ⊗ u_t with S = exp(g_t)·S_{t−1} and u_t = v_t, or β_t·(v_t − Sᵀk_t) by the delta rule; o_t = s·S_tᵀq_t.
 * q, k and v: [batch, length, heads·size]; a head of keys, with its state of [keys, values], may serve several of queries.
 */
export const rule: LoweredRule<"LinearAttention"> = composite({
  op: "LinearAttention",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const [first, past] = [node.input(0), node.inputs[3] ?? null];
    const { gated, delta } = ruleOf(node);
    const heads = node.int("kv_num_heads", 1);
    const shared = node.int("q_num_heads", 1) / heads;
    const dtype = past?.dtype ?? first.dtype;
    const spread = (x: e.V, rows: number): e.V => perPosition(b, e.cast(b, x, dtype), heads, rows);
    const q = spread(first, shared);
    const [k, v] = [spread(node.input(1), 1), spread(node.input(2), 1)];
    const [batch = 1, keys = 1, values = 1] = [q.dims[1], k.dims[4], v.dims[4]];
    const scale = node.float("scale", 0);
    check(
      typeof q.dims[4] === "number" || scale !== 0,
      () => `${node.label}: a derivative needs its scale, or to know the size of a head`,
    );
    const decay = gated ? e.exp(b, spread(node.input(4), 1)) : null;
    const beta = delta ? betas(b, e.cast(b, node.input(5), dtype), heads) : null;

    const stateType = tensorType(dtype, [batch, heads, keys, values]);
    const start = past ?? emptyState(b, first, q, stateType, [b.int64s([heads]), e.dimOf(b, k, 4), e.dimOf(b, v, 4)]);
    const loop = new Iteration(b, node.op, q.dims[0] ?? 1);
    const inside = loop.body;
    const now = (x: e.V): e.V => elementAt(inside, x, loop.index, tensorType(dtype, x.dims.slice(1)));
    const before = loop.carry(start, stateType);
    // Keys as columns, so that what they scale is the rows of the state.
    const column = e.transposeLast(inside, now(k));
    const faded = decay ? e.mul(inside, before, e.transposeLast(inside, now(decay))) : before;
    const update = beta ? e.mul(inside, now(beta), e.sub(inside, now(v), e.matmul(inside, now(k), faded))) : now(v);
    const after = e.add(inside, faded, e.matmul(inside, column, update));
    loop.setNext(before, after);
    loop.scan(e.matmul(inside, now(q), after));
    const { final, scanned } = loop.emit(e.squeeze(b, e.dimOf(b, q, 0), [0]));
    const y = e.scale(b, must(scanned[0], "outputs"), scale === 0 ? 1 / Math.sqrt(Number(q.dims[4])) : scale);
    const out = tensorType(dtype, [batch, q.dims[0] ?? 1, ...node.output().dims.slice(2)]);
    return [e.cast(b, packed(b, y, out), first.dtype), must(final[0], "the state")];
  },
  samples: [
    { inputs: [x(4), x(4), x(6), null, x(4), x(2)], attributes: { ...headsOf(2, 2), scale: float(0.4) }, outputs: 2 },
    {
      name: "shared heads, one β and one decay for each head, a state",
      inputs: [x(8), x(4), x(2), { shape: [2, 2, 2, 1] }, x(2), x(1)],
      attributes: { ...headsOf(4, 2), update_rule: string("gated_delta") },
      outputs: 2,
    },
    {
      name: "linear",
      inputs: [x(4), x(2), x(2)],
      attributes: { ...headsOf(2, 1), update_rule: string("linear") },
      outputs: 2,
    },
    {
      name: "gated",
      inputs: [x(2), x(2), x(2), null, x(2)],
      attributes: { ...headsOf(1, 1), update_rule: string("gated") },
      outputs: 2,
    },
    {
      name: "delta",
      inputs: [x(2), x(2), x(2), null, null, x(1)],
      attributes: { ...headsOf(1, 1), update_rule: string("delta") },
      outputs: 2,
    },
  ],
});

/** β of each head, or one for all: [length, batch, heads or 1, 1, 1]. */
function betas(b: e.B, beta: e.V, heads: number): e.V {
  return perPosition(b, beta, beta.dims[2] === 1 ? 1 : heads, 1);
}

/** The sizes of heads are known. */
function x(hidden: number) {
  return { shape: [2, 3, hidden], fixed: [2] };
}

function headsOf(q: number, kv: number) {
  return { q_num_heads: int(q), kv_num_heads: int(kv) };
}
