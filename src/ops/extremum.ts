import type { Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule, Sample } from "./rule.js";
import { broadcasting } from "./types.js";

/** Share of input `i` in the output: 1 where it alone is the extremum, 1/n where n inputs tie, else 0. */
function share(b: e.B, node: Node, i: number): e.V {
  const y = node.output();
  const hits = node.inputs.map((x) => (x ? e.cast(b, e.equal(b, x, y), y.dtype) : null)).filter((m) => m !== null);
  const count = hits.reduce((p, q) => e.add(b, p, q));
  return e.div(b, hits[i] ?? count, count);
}

/** Max and Min of several inputs; ties share evenly, as in PyTorch (half to each of two). */
export function extremum<O extends "Max" | "Min">(op: O): OpRule<O> {
  const samples: Sample[] = [
    { inputs: [{ shape: [2, 3] }, { shape: [2, 3] }] },
    {
      name: "broadcast",
      inputs: [
        { shape: [2, 1], values: [0.1, -0.3] },
        { shape: [3], values: [-0.5, 0.4, 0] },
      ],
    },
    {
      name: "three inputs",
      inputs: [
        { shape: [3], values: [0.5, -0.2, 0.1] },
        { shape: [3], values: [0.1, 0.7, -0.4] },
        { shape: [], values: [0.3] },
      ],
    },
    { name: "one input", inputs: [{ shape: [2, 3] }] },
  ];
  return {
    op,
    since: 13,
    vjp: ({ b }, node, [dy], need) => {
      if (!dy) return node.inputs.map(() => null);
      if (node.inputs.length === 1) return [dy];
      return node.inputs.map((_, i) => (need[i] ? e.mul(b, dy, share(b, node, i)) : null));
    },
    jvp: ({ b }, node, tangents) => {
      if (node.inputs.length === 1) return [tangents[0] ?? null];
      const parts = tangents.map((d, i) => (d ? e.mul(b, d, share(b, node, i)) : null)).filter((d) => d !== null);
      return [parts.length > 0 ? parts.reduce((p, q) => e.add(b, p, q)) : null];
    },
    infer: broadcasting(),
    samples,
  };
}
