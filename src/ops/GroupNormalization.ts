import { float, int, tensorType, type Node } from "../ir/graph.js";
import { freshDim } from "../util/shape.js";
import { alongChannels, channelAffineJvp, channelSums } from "./convolution.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { standardize, standardizeJvp, standardizeVjp, type Standardized } from "./standardize.js";

/** `v`, of the shape of the node's input, as [batch, groups, elements]. */
function grouped(b: e.B, node: Node, v: e.V): e.V {
  const groups = node.int("num_groups", 1);
  const shape = b.int64s([0, groups, -1]);
  return e.reshapeTo(b, v, shape, tensorType(v.dtype, [v.dims[0] ?? 1, groups, freshDim()]));
}

interface Parts {
  p: Standardized;
  normalized: e.V;
}

function parts(b: e.B, node: Node): Parts {
  const x = node.input(0);
  const p = standardize(b, grouped(b, node, x), [2], node.float("epsilon", 1e-5));
  return { p, normalized: e.reshapeLike(b, p.normalized, x) };
}

/** y = s·(x − μ)/√(σ² + ε) + b, with μ and σ² of each group of channels of each example, s and b of each channel. */
export const rule: OpRule<"GroupNormalization"> = {
  op: "GroupNormalization",
  since: 21,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null, null];
    const { p, normalized } = parts(b, node);
    const x = node.input(0);
    const a = e.mul(b, dy, alongChannels(b, node.input(1), x));
    return [
      need[0] ? e.reshapeLike(b, standardizeVjp(b, p, grouped(b, node, a)), x) : null,
      need[1] ? channelSums(b, e.mul(b, dy, normalized)) : null,
      need[2] ? channelSums(b, dy) : null,
    ];
  },
  jvp: ({ b }, node, [dx, ds, db]) => {
    const { p, normalized } = parts(b, node);
    const y = node.output();
    const tangent = dx ? e.reshapeLike(b, standardizeJvp(b, p, grouped(b, node, dx)).normalized, y) : null;
    return [channelAffineJvp(b, y, { scale: node.input(1), normalized }, [tangent, ds, db])];
  },
  samples: [
    {
      inputs: [{ shape: [2, 4, 2, 2] }, { shape: [4] }, { shape: [4] }],
      attributes: { num_groups: int(2), epsilon: float(0.01) },
    },
    {
      name: "one axis",
      inputs: [{ shape: [1, 4, 3] }, { shape: [4] }, { shape: [4] }],
      attributes: { num_groups: int(4) },
    },
  ],
};
