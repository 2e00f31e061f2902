import { int, ints, string } from "../ir/graph.js";
import { channelSums, convolutionJvp, geometryOf, inputCotangent, kernelCotangent } from "./convolution.js";
import type { OpRule } from "./rule.js";

/** y = w ∗ x + bias over any number of spatial axes: the cotangent of x is a ConvTranspose, that of w a Conv of x with dy. */
export const rule: OpRule<"Conv"> = {
  op: "Conv",
  since: 11,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null, null];
    const [x, w] = [node.input(0), node.input(1)];
    const g = geometryOf(b, node, x, w);
    return [
      need[0] ? inputCotangent(b, dy, w, x, g) : null,
      need[1] ? kernelCotangent(b, x, dy, w, g) : null,
      need[2] ? channelSums(b, dy) : null,
    ];
  },
  jvp: ({ b }, node, tangents) => [convolutionJvp(b, node, tangents)],
  samples: [
    { inputs: [{ shape: [2, 2, 4, 5] }, { shape: [3, 2, 3, 2] }, { shape: [3] }] },
    {
      name: "padded, strided: the window stops short of the end",
      inputs: [{ shape: [2, 2, 6, 5] }, { shape: [2, 2, 3, 3] }],
      attributes: { pads: ints([1, 0, 1, 2]), strides: ints([2, 3]) },
    },
    {
      name: "dilated, one axis",
      inputs: [{ shape: [2, 2, 9] }, { shape: [2, 2, 3] }, { shape: [2] }],
      attributes: { dilations: ints([2]), strides: ints([2]), pads: ints([1, 1]) },
    },
    {
      name: "groups",
      inputs: [{ shape: [2, 4, 4, 4] }, { shape: [6, 2, 2, 2] }, { shape: [6] }],
      attributes: { group: int(2) },
    },
    { name: "depthwise", inputs: [{ shape: [2, 3, 4, 4] }, { shape: [3, 1, 2, 2] }], attributes: { group: int(3) } },
    { name: "one by one", inputs: [{ shape: [2, 3, 2, 2] }, { shape: [2, 3, 1, 1] }] },
    {
      name: "one by one, strided",
      inputs: [{ shape: [2, 3, 4, 5] }, { shape: [2, 3, 1, 1] }],
      attributes: { strides: ints([2, 3]) },
    },
    {
      name: "strided without padding: the last pixels are not read",
      inputs: [{ shape: [2, 2, 6, 4] }, { shape: [3, 2, 3, 1] }],
      attributes: { strides: ints([2, 2]) },
    },
    ...["SAME_UPPER", "SAME_LOWER", "VALID"].map((auto) => ({
      name: auto,
      inputs: [{ shape: [1, 2, 5, 4] }, { shape: [2, 2, 2, 3] }],
      attributes: { auto_pad: string(auto), kernel_shape: ints([2, 3]), strides: ints([2, 1]) },
    })),
    { name: "three axes", inputs: [{ shape: [1, 2, 3, 2, 3] }, { shape: [2, 2, 2, 2, 2] }] },
  ],
};
