import { int, ints, string } from "../ir/graph.js";
import * as e from "./emit.js";
import { windowCounts, windowSpread } from "./pooling.js";
import type { OpRule } from "./rule.js";

/** y = the mean of each window, over its elements or over its padding too. */
export const rule: OpRule<"AveragePool"> = {
  op: "AveragePool",
  since: 19,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null];
    const x = node.input(0);
    return [windowSpread(b, node, e.div(b, dy, windowCounts(b, node, x)), x)];
  },
  jvp: "linear",
  samples: [
    { inputs: [{ shape: [2, 2, 4, 4] }], attributes: { kernel_shape: ints([2, 2]), strides: ints([2, 2]) } },
    {
      name: "overlapping, padded",
      inputs: [{ shape: [1, 2, 4, 3] }],
      attributes: { kernel_shape: ints([3, 2]), pads: ints([1, 0, 1, 1]) },
    },
    {
      name: "the padding counts",
      inputs: [{ shape: [1, 2, 4, 3] }],
      attributes: { kernel_shape: ints([3, 2]), pads: ints([1, 0, 1, 1]), count_include_pad: int(1) },
    },
    {
      name: "ceil mode",
      inputs: [{ shape: [1, 1, 6, 5] }],
      attributes: { kernel_shape: ints([3, 2]), strides: ints([2, 2]), ceil_mode: int(1) },
    },
    {
      name: "ceil mode, the padding counts, dilated",
      inputs: [{ shape: [1, 2, 9] }],
      attributes: {
        kernel_shape: ints([2]),
        strides: ints([3]),
        dilations: ints([2]),
        pads: ints([1, 1]),
        ceil_mode: int(1),
        count_include_pad: int(1),
      },
    },
    {
      name: "SAME_UPPER",
      inputs: [{ shape: [1, 1, 5, 4] }],
      attributes: { kernel_shape: ints([2, 3]), strides: ints([2, 1]), auto_pad: string("SAME_UPPER") },
    },
  ],
};
