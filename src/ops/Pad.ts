import { string, tensorType, type Node } from "../ir/graph.js";
import { freshDim, normalizeAxis, type Dim } from "../util/shape.js";
import * as e from "./emit.js";
import type { OpRule, SampleInput } from "./rule.js";
import { constantNumbers } from "./shapes.js";

const isConstant = (node: Node): boolean => node.string("mode", "constant") === "constant";

/** The padded axes, from the front, where they are known. */
function paddedAxes(constants: e.Constants, node: Node): number[] | undefined {
  const rank = node.input(0).dims.length;
  if (!node.inputs[3]) return Array.from({ length: rank }, (_, i) => i);
  return constantNumbers(constants, node.inputs[3])?.map((a) => normalizeAxis(a, rank));
}

/** What the padding left of x, cut out of dy; a negative pad, which had cut, is given back as zeros. */
function cropped(b: e.B, node: Node, dy: e.V): e.V {
  const x = node.input(0);
  const pads = constantNumbers(b, node.input(1));
  const axes = paddedAxes(b, node);
  if (pads?.every((p) => p >= 0) && axes?.every((a) => typeof x.dims[a] === "number")) {
    const starts = pads.slice(0, axes.length);
    const ends = starts.map((s, i) => s + Number(x.dims[axes[i] ?? 0]));
    return e.slice(b, dy, b.int64s(starts), b.int64s(ends), axes, tensorType(dy.dtype, x.shape));
  }
  const back = pads ? b.int64s(pads.map((p) => -p)) : e.neg(b, node.input(1));
  return b.op("Pad", [dy, back, null, node.inputs[3] ?? null], {}, { types: [tensorType(dy.dtype, x.shape)] });
}

/** y = x with values put around it: a constant (default 0), or its own (edge, reflect, wrap). */
export const rule: OpRule<"Pad"> = {
  op: "Pad",
  since: 21,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null, null, null];
    const x = node.input(0);
    if (isConstant(node)) {
      const dx = cropped(b, node, dy);
      const value = need[2] ? e.sub(b, e.sumAll(b, dy), e.sumAll(b, dx)) : null;
      return [
        need[0] ? dx : null,
        null,
        value && node.inputs[2] ? e.reshapeLike(b, value, node.inputs[2]) : null,
        null,
      ];
    }
    const inputs = [e.positions(b, x), node.input(1), null, node.inputs[3] ?? null];
    const places = b.op("Pad", inputs, node.attributes, { types: [tensorType("int64", dy.shape)] });
    return [e.scatterFlat(b, x, places, dy), null, null, null];
  },
  jvp: ({ b }, node, [dx, , dvalue]) => {
    const inputs = [dx ?? e.fullLike(b, 0, node.input(0)), node.input(1), dvalue ?? null, node.inputs[3] ?? null];
    return [b.op("Pad", inputs, node.attributes, { types: [node.output().type] })];
  },
  infer: (node, constants) => {
    const x = node.input(0);
    const axes = paddedAxes(constants, node);
    const pads = constantNumbers(constants, node.input(1));
    if (!axes)
      return [
        tensorType(
          x.dtype,
          x.dims.map(() => freshDim()),
        ),
      ];
    const dims = x.dims.map((d, i): Dim => {
      const at = axes.indexOf(i);
      if (at < 0) return d;
      if (!pads || typeof d !== "number") return freshDim();
      return d + (pads[at] ?? 0) + (pads[at + axes.length] ?? 0);
    });
    return [tensorType(x.dtype, dims)];
  },
  samples: [
    { inputs: [{ shape: [2, 3] }, pads([1, 0, 0, 2])] },
    { name: "with a value", inputs: [{ shape: [2, 3] }, pads([1, 0, 0, 2]), { shape: [] }] },
    { name: "axes", inputs: [{ shape: [2, 3] }, pads([1, 2]), null, pads([-1])] },
    { name: "cropping", inputs: [{ shape: [3, 3] }, pads([-1, 1, 0, -1])] },
    { name: "run-time pads", inputs: [{ shape: [2, 2] }, { ...pads([1, 0, 0, 2]), constant: false }] },
    ...["edge", "reflect", "wrap"].map((mode) => ({
      name: mode,
      inputs: [{ shape: [3, 3] }, pads([1, 2, 0, 1])],
      attributes: { mode: string(mode) },
    })),
  ],
};

function pads(values: readonly number[]): SampleInput {
  return { shape: [values.length], dtype: "int64", values, constant: true };
}
