import { ints, tensorType, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

const permutation = (node: Node): number[] =>
  node.ints("perm") ?? node.input(0).dims.map((_, i, all) => all.length - 1 - i);

/** y = x with its axes permuted (reversed where no permutation is given). */
export const rule: OpRule<"Transpose"> = {
  op: "Transpose",
  since: 21,
  vjp: ({ b }, node, [dy]) => {
    const perm = permutation(node);
    return [
      dy
        ? e.transpose(
            b,
            dy,
            perm.map((_, i) => perm.indexOf(i)),
          )
        : null,
    ];
  },
  jvp: "linear",
  infer: (node) => {
    const x = node.input(0);
    const shape = x.shape;
    return [tensorType(x.dtype, shape && permutation(node).map((p) => shape[p] ?? 1))];
  },
  samples: [
    { inputs: [{ shape: [2, 3, 4] }], attributes: { perm: ints([1, 2, 0]) } },
    { name: "reversed", inputs: [{ shape: [2, 3] }] },
    { name: "scalar", inputs: [{ shape: [] }] },
  ],
};
