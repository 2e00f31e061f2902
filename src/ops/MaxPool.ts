import { int, ints, string, tensorType, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** Flat positions in x of the elements taken, in row-major order; asked of a second node where this one gives none. */
function places(b: e.B, node: Node): e.V {
  const given = node.outputs[1];
  if (given && node.int("storage_order", 0) === 0) return given;
  const attributes = { ...node.attributes, storage_order: int(0) };
  const types = [node.output().type, tensorType("int64", node.output().shape)];
  return b.node("MaxPool", [node.input(0)], attributes, {}, { outputs: 2, types }).output(1);
}

/** y = the largest element of each window; the first of several takes the derivative, as in PyTorch. */
export const rule: OpRule<"MaxPool"> = {
  op: "MaxPool",
  since: 12,
  vjp: ({ b }, node, [dy]) => [dy ? e.scatterFlat(b, node.input(0), places(b, node), dy) : null],
  jvp: ({ b }, node, [dx]) => {
    if (!dx) return [null];
    const taken = e.gather(b, e.reshape(b, dx, [-1]), places(b, node), 0);
    return node.outputs.map((_, i) => (i === 0 ? taken : null));
  },
  samples: [
    { inputs: [x([2, 2, 4, 4])], attributes: { kernel_shape: ints([2, 2]), strides: ints([2, 2]) } },
    {
      name: "overlapping, padded, with indices",
      inputs: [x([1, 2, 4, 3])],
      attributes: { kernel_shape: ints([3, 2]), pads: ints([1, 0, 1, 1]) },
      outputs: 2,
    },
    {
      name: "ceil mode, dilated, one axis, indices by columns",
      inputs: [x([1, 2, 8])],
      attributes: {
        kernel_shape: ints([2]),
        strides: ints([3]),
        dilations: ints([2]),
        ceil_mode: int(1),
        storage_order: int(1),
      },
      outputs: 2,
    },
    {
      name: "SAME_LOWER",
      inputs: [x([1, 1, 5, 4])],
      attributes: { kernel_shape: ints([2, 3]), strides: ints([2, 2]), auto_pad: string("SAME_LOWER") },
    },
  ],
};

function x(shape: readonly number[]): OpRule["samples"][number]["inputs"][number] {
  return { shape, distinct: 0.01 };
}
