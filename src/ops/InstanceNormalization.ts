import { float } from "../ir/graph.js";
import { alongChannels, channelAffineJvp, channelSums } from "./convolution.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { standardize, standardizeJvp, standardizeVjp } from "./standardize.js";
import type { Node } from "../ir/graph.js";

const parts = (b: e.B, node: Node) =>
  standardize(
    b,
    node.input(0),
    node
      .input(0)
      .dims.slice(2)
      .map((_, i) => i + 2),
    node.float("epsilon", 1e-5),
  );

/** y = s·(x − μ)/√(σ² + ε) + b, with μ and σ² of each channel of each example, s and b of each channel. */
export const rule: OpRule<"InstanceNormalization"> = {
  op: "InstanceNormalization",
  since: 6,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null, null];
    const p = parts(b, node);
    const scale = alongChannels(b, node.input(1), node.input(0));
    return [
      need[0] ? standardizeVjp(b, p, e.mul(b, dy, scale)) : null,
      need[1] ? channelSums(b, e.mul(b, dy, p.normalized)) : null,
      need[2] ? channelSums(b, dy) : null,
    ];
  },
  jvp: ({ b }, node, [dx, ds, db]) => {
    const p = parts(b, node);
    const y = node.output();
    const tangent = dx ? standardizeJvp(b, p, dx).normalized : null;
    return [channelAffineJvp(b, y, { scale: node.input(1), normalized: p.normalized }, [tangent, ds, db])];
  },
  samples: [
    {
      inputs: [{ shape: [2, 3, 2, 2] }, { shape: [3] }, { shape: [3] }],
      attributes: { epsilon: float(0.01) },
    },
    { name: "one axis", inputs: [{ shape: [2, 2, 4] }, { shape: [2] }, { shape: [2] }] },
  ],
};
