import { int, tensorType, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** The indices that the node chose; asked of a second node where it gives only the values. */
function indices(b: e.B, node: Node): e.V {
  const given = node.outputs[1];
  if (given) return given;
  const shape = node.output().shape;
  const types = [node.output().type, tensorType("int64", shape)];
  return b.node("TopK", [node.input(0), node.input(1)], node.attributes, {}, { outputs: 2, types }).output(1);
}

/** The k largest (or smallest) elements along an axis, and their indices; ties are broken as the runtime does. */
export const rule: OpRule<"TopK"> = {
  op: "TopK",
  since: 11,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null, null];
    const zeros = e.fullLike(b, 0, node.input(0), dy.dtype);
    return [e.scatterElementsAdd(b, zeros, indices(b, node), dy, node.int("axis", -1)), null];
  },
  jvp: ({ b }, node, [dx]) => [dx ? e.gatherElements(b, dx, indices(b, node), node.int("axis", -1)) : null, null],
  samples: [
    {
      inputs: [
        { shape: [2, 4], distinct: 0.02 },
        { shape: [1], dtype: "int64", values: [2], constant: true },
      ],
      outputs: 2,
    },
    {
      name: "smallest, first axis",
      inputs: [
        { shape: [4, 2], distinct: 0.02 },
        { shape: [1], dtype: "int64", values: [3], constant: true },
      ],
      attributes: { axis: int(0), largest: int(0) },
      outputs: 2,
    },
  ],
};
