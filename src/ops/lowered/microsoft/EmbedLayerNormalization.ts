import { float, int, tensorType } from "../../../ir/graph.js";
import { indexAlong } from "../../attention.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";

/** y = LayerNormalization(word + position + segment embeddings); also how many tokens the mask keeps, and the sum. */
export const rule: LoweredRule<"EmbedLayerNormalization"> = composite({
  op: "EmbedLayerNormalization",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const [ids, segments, words, positions] = [node.input(0), node.inputs[1], node.input(2), node.input(3)];
    const [kinds, mask, at] = [node.inputs[4], node.inputs[7], node.inputs[8] ?? indexAlong(b, ids, 1)];
    let sum = e.add(b, e.gather(b, words, ids, 0), e.gather(b, positions, at, 0));
    if (segments && kinds) sum = e.add(b, sum, e.gather(b, kinds, segments, 0));
    const attributes = { axis: int(-1), epsilon: float(node.float("epsilon", 1e-12)) };
    const y = b.op("LayerNormalization", [sum, node.input(5), node.input(6)], attributes, { types: [sum.type] });
    return [y, node.outputs[1] ? counts() : null, node.outputs[2] ? sum : null];

    function counts(): e.V {
      if (mask) return e.reduceSum(b, mask, [1], false);
      const type = tensorType("int32", [ids.dims[0] ?? 1]);
      return e.expand(b, b.scalar(0, "int32"), e.dimOf(b, ids, 0), type);
    }
  },
  samples: [
    {
      inputs: [
        { shape: [2, 3], dtype: "int32", values: [1, 0, 3, 2, 2, 1] },
        { shape: [2, 3], dtype: "int32", values: [0, 1, 1, 0, 0, 1] },
        { shape: [4, 4], fixed: [0, 1] },
        { shape: [3, 4], fixed: [0, 1] },
        { shape: [2, 4], fixed: [0, 1] },
        { shape: [4], fixed: [0] },
        { shape: [4], fixed: [0] },
        { shape: [2, 3], dtype: "int32", values: [1, 1, 0, 1, 1, 1] },
      ],
      outputs: 2,
    },
  ],
});
