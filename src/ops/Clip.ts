import type { Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { constantScalar } from "./shapes.js";
import { like } from "./types.js";

interface Regions {
  below: e.V | null;
  above: e.V | null;
}

/** Where the bounds, rather than x, are the output; the upper one everywhere where it lies below the lower one. */
function regions(b: e.B, node: Node): Regions {
  const x = node.input(0);
  const [low, high] = [node.inputs[1], node.inputs[2]];
  const below = low ? e.less(b, x, low) : null;
  const above = high ? e.greater(b, x, high) : null;
  const [from, to] = [constantScalar(b, low), constantScalar(b, high)];
  if (!low || !high || !below || !above || (from !== undefined && to !== undefined && from <= to))
    return { below, above };
  const crossed = e.greater(b, low, high);
  return { below: e.and(b, below, e.not(b, crossed)), above: e.or(b, above, crossed) };
}

const only = (b: e.B, where: e.V | null, d: e.V): e.V | null => where && e.where(b, where, d, e.scalarLike(b, 0, d));

/** `d` where x lies between the bounds or at one. */
function inside(b: e.B, { below, above }: Regions, d: e.V): e.V {
  const outside = below && above ? e.or(b, below, above) : (below ?? above);
  return outside ? e.where(b, outside, e.scalarLike(b, 0, d), d) : d;
}

/** y = min(max(x, low), high); at the bounds the derivative is that of x, as in PyTorch's clamp. */
export const rule: OpRule<"Clip"> = {
  op: "Clip",
  since: 13,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null, null];
    const r = regions(b, node);
    return [
      need[0] ? inside(b, r, dy) : null,
      need[1] ? only(b, r.below, dy) : null,
      need[2] ? only(b, r.above, dy) : null,
    ];
  },
  jvp: ({ b }, node, [dx, dlow, dhigh]) => {
    const r = regions(b, node);
    const terms = [
      dx ? inside(b, r, dx) : null,
      dlow ? only(b, r.below, dlow) : null,
      dhigh ? only(b, r.above, dhigh) : null,
    ];
    const there = terms.filter((t) => t !== null);
    return [there.length > 0 ? there.reduce((p, q) => e.add(b, p, q)) : null];
  },
  infer: like(),
  samples: [
    {
      inputs: [
        { shape: [2, 3], range: [-2, 2], avoid: { points: [-1, 1], distance: 0.2 } },
        { shape: [], values: [-1] },
        { shape: [], values: [1] },
      ],
    },
    {
      name: "bounds that cross",
      inputs: [
        { shape: [2, 3], range: [-2, 2] },
        { shape: [], values: [1] },
        { shape: [], values: [-1] },
      ],
    },
    {
      name: "constant lower bound",
      inputs: [
        { shape: [2, 3], avoid: { points: [0], distance: 0.1 } },
        { shape: [], values: [0], constant: true },
      ],
    },
    {
      name: "upper bound alone",
      inputs: [{ shape: [2, 3], avoid: { points: [0.5], distance: 0.1 } }, null, { shape: [], values: [0.5] }],
    },
    { name: "no bounds", inputs: [{ shape: [2, 3] }] },
  ],
};
