import { int, ints, string, tensorType, type Node } from "../ir/graph.js";
import { check } from "../util/assert.js";
import { freshDim } from "../util/shape.js";
import { channelSums, convolutionJvp, kernelCotangent, spatial, type Geometry } from "./convolution.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** The geometry of the convolution that this operator is the adjoint of: it reads the output. */
function transposedGeometry(node: Node): Geometry {
  const [x, w] = [node.input(0), node.input(1)];
  const n = spatial(x).length;
  const ones = Array<number>(n).fill(1);
  const strides = node.ints("strides") ?? ones;
  const dilations = node.ints("dilations") ?? ones;
  const group = node.int("group", 1);
  const auto = node.string("auto_pad", "NOTSET");
  const shape = node.ints("output_shape");
  if (!shape && !auto.startsWith("SAME")) {
    const pads = (auto === "VALID" ? undefined : node.ints("pads")) ?? Array<number>(2 * n).fill(0);
    return { strides, dilations, group, before: pads.slice(0, n), after: pads.slice(n) };
  }
  const kernel = node.ints("kernel_shape") ?? spatial(w);
  const extra = node.ints("output_padding");
  const total = strides.map((stride, i) => {
    const [k, size] = [kernel[i], x.dims[i + 2]];
    check(typeof k === "number", () => `${node.label}: automatic padding needs a kernel of known size`);
    const reach = (extra?.[i] ?? 0) + (k - 1) * (dilations[i] ?? 1) + 1;
    if (!shape) return reach - stride;
    check(typeof size === "number", () => `${node.label}: output_shape needs an input of known size`);
    return (size - 1) * stride + reach - (shape.slice(-n)[i] ?? 0);
  });
  const [less, more] = [total.map((t) => Math.floor(t / 2)), total.map((t) => t - Math.floor(t / 2))];
  return auto === "SAME_UPPER"
    ? { strides, dilations, group, before: less, after: more }
    : { strides, dilations, group, before: more, after: less };
}

/** y = the adjoint of a convolution by w, applied to x, + bias: the cotangent of x is a Conv of dy. */
export const rule: OpRule<"ConvTranspose"> = {
  op: "ConvTranspose",
  since: 11,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null, null];
    const [x, w] = [node.input(0), node.input(1)];
    const { reached, g } = withoutOutside(b, dy, transposedGeometry(node));
    return [
      need[0] ? readBack(b, reached, w, x, g) : null,
      need[1] ? kernelCotangent(b, reached, x, w, g) : null,
      need[2] ? channelSums(b, dy) : null,
    ];
  },
  jvp: ({ b }, node, tangents) => [convolutionJvp(b, node, tangents)],
  samples: [
    { inputs: [{ shape: [2, 2, 3, 4] }, { shape: [2, 3, 3, 2] }, { shape: [3] }] },
    {
      name: "padded, strided, with output padding",
      inputs: [{ shape: [2, 2, 3, 3] }, { shape: [2, 2, 3, 3] }],
      attributes: { pads: ints([1, 0, 1, 2]), strides: ints([2, 3]), output_padding: ints([1, 0]) },
    },
    {
      name: "dilated, one axis",
      inputs: [{ shape: [2, 2, 4] }, { shape: [2, 2, 3] }],
      attributes: { dilations: ints([2]), strides: ints([2]), pads: ints([1, 1]) },
    },
    {
      name: "groups",
      inputs: [{ shape: [2, 4, 3, 3] }, { shape: [4, 3, 2, 2] }, { shape: [6] }],
      attributes: { group: int(2) },
    },
    {
      name: "SAME_UPPER",
      inputs: [{ shape: [1, 2, 3, 3] }, { shape: [2, 2, 3, 2] }],
      attributes: { auto_pad: string("SAME_UPPER"), kernel_shape: ints([3, 2]), strides: ints([2, 1]) },
    },
  ],
};

/** Negative padding makes the output larger than what x reaches: dy there is cut off. */
function withoutOutside(b: e.B, dy: e.V, g: Geometry): { reached: e.V; g: Geometry } {
  const { before, after } = g;
  if (!Array.isArray(before) || !Array.isArray(after) || [...before, ...after].every((p) => p >= 0))
    return { reached: dy, g };
  const cut = (pads: readonly number[]): e.V[] => pads.map((p) => b.int64s([Math.min(p, 0)]));
  const kept = (pads: readonly number[]): number[] => pads.map((p) => Math.max(p, 0));
  const axes = before.map((_, i) => i + 2);
  const type = tensorType(dy.dtype, [...dy.dims.slice(0, 2), ...axes.map(() => freshDim())]);
  const reached = e.pad(b, dy, cut(before), cut(after), axes, type);
  return { reached, g: { ...g, before: kept(before), after: kept(after) } };
}

/** The convolution of dy by w. */
function readBack(b: e.B, dy: e.V, w: e.V, x: e.V, g: Geometry): e.V {
  const pads = [g.before, g.after].flatMap((p) => (Array.isArray(p) ? p : []));
  const attributes = { strides: ints(g.strides), dilations: ints(g.dilations), group: int(g.group), pads: ints(pads) };
  return b.op("Conv", [dy, w], attributes, { types: [tensorType(dy.dtype, x.shape)] });
}
