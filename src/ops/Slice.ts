import { tensorType, type Node } from "../ir/graph.js";
import { freshDim, normalizeAxis, sameShape, type Dim } from "../util/shape.js";
import * as e from "./emit.js";
import type { OpRule, SampleInput } from "./rule.js";
import { constantNumbers } from "./shapes.js";

interface Bounds {
  axes: number[];
  starts: number[] | undefined;
  ends: number[] | undefined;
  steps: number[] | undefined;
}

/** The node's axes (from the front) and bounds, where they are constants. */
function bounds(constants: e.Constants, node: Node): Bounds | undefined {
  const rank = node.input(0).shape?.length;
  const starts = constantNumbers(constants, node.input(1));
  const ends = constantNumbers(constants, node.input(2));
  const count = node.input(1).shape?.[0];
  if (rank === undefined || typeof count !== "number") return undefined;
  const given = node.inputs[3]
    ? constantNumbers(constants, node.inputs[3])
    : Array.from({ length: count }, (_, i) => i);
  const steps = node.inputs[4] ? constantNumbers(constants, node.inputs[4]) : Array<number>(count).fill(1);
  return given && { axes: given.map((a) => normalizeAxis(a, rank)), starts, ends, steps };
}

/** Size of d[start:end:step], with numpy's clamping. */
function sliceSize(d: Dim, start: number | undefined, end: number | undefined, step: number | undefined): Dim {
  if (start === 0 && end !== undefined && end >= 2 ** 31 - 1 && step === 1) return d;
  if (start === undefined || end === undefined || step === undefined) return freshDim();
  if (typeof d !== "number") return freshDim();
  const clamp = (v: number, low: number, high: number): number => Math.min(Math.max(v < 0 ? v + d : v, low), high);
  const [from, to] =
    step > 0 ? [clamp(start, 0, d), clamp(end, 0, d)] : [clamp(start, 0, d - 1), clamp(end, -1, d - 1)];
  return Math.max(0, Math.ceil((to - from) / step));
}

/** Steps of 1 from constant starts: zeros before and after, as many as the shapes say. */
function padBack(b: e.B, node: Node, dy: e.V, axes: readonly number[], starts: readonly number[]): e.V {
  const x = node.input(0);
  const before = axes.map((axis, i) => {
    const start = starts[i] ?? 0;
    const size = x.dims[axis];
    if (start >= 0) return b.int64s([typeof size === "number" ? Math.min(start, size) : start]);
    if (typeof size === "number") return b.int64s([Math.max(start + size, 0)]);
    return e.max(b, e.add(b, e.dimOf(b, x, axis), b.int64s([start])), b.int64s([0]));
  });
  const after = axes.map((axis, i) => {
    const [size, kept] = [x.dims[axis], dy.dims[axis]];
    const first = before[i] ?? b.int64s([0]);
    const skipped = b.constantOf(first)?.numbers()[0];
    if (typeof size === "number" && typeof kept === "number" && skipped !== undefined)
      return b.int64s([size - kept - skipped]);
    return e.sub(b, e.sub(b, e.dimOf(b, x, axis), e.dimOf(b, dy, axis)), first);
  });
  return e.pad(b, dy, before, after, axes, x.type);
}

/** y = x[start:end:step] along axes. */
export const rule: OpRule<"Slice"> = {
  op: "Slice",
  since: 13,
  vjp: ({ b }, node, [dy]) => {
    const none = [null, null, null, null];
    if (!dy) return [null, ...none];
    const x = node.input(0);
    const given = bounds(b, node);
    if (given?.steps?.every((s) => s === 1) && sameShape(x.shape, dy.shape)) return [dy, ...none];
    if (given?.starts && given.steps?.every((s) => s === 1))
      return [padBack(b, node, dy, given.axes, given.starts), ...none];
    // The other way round: its own adjoint.
    if (
      given?.starts?.every((s) => s === -1) &&
      given.ends?.every((end) => end <= -(2 ** 31)) &&
      given.steps?.every((s) => s === -1)
    )
      return [b.op("Slice", [dy, ...node.inputs.slice(1)], {}, { types: [x.type] }), ...none];
    const places = b.op(
      "Slice",
      [e.positions(b, x), ...node.inputs.slice(1)],
      {},
      {
        types: [tensorType("int64", dy.shape)],
      },
    );
    return [e.scatterFlat(b, x, places, dy), ...none];
  },
  jvp: "linear",
  infer: (node, constants) => {
    const x = node.input(0);
    const given = bounds(constants, node);
    if (!x.shape) return [x.type];
    if (!given)
      return [
        tensorType(
          x.dtype,
          x.shape.map(() => freshDim()),
        ),
      ];
    const { axes, starts, ends, steps } = given;
    const dims = x.shape.map((d, i) => {
      const at = axes.indexOf(i);
      return at < 0 ? d : sliceSize(d, starts?.[at], ends?.[at], steps?.[at]);
    });
    return [tensorType(x.dtype, dims)];
  },
  samples: [
    { inputs: [{ shape: [3, 4] }, vector([1]), vector([3]), vector([1])] },
    { name: "no axes", inputs: [{ shape: [3, 4] }, vector([1, 0]), vector([3, 2])] },
    { name: "negative", inputs: [{ shape: [2, 4] }, vector([-3]), vector([-1]), vector([-1])] },
    { name: "to the end", inputs: [{ shape: [2, 4] }, vector([1]), vector([2 ** 40]), vector([1])] },
    { name: "steps", inputs: [{ shape: [2, 5] }, vector([1]), vector([5]), vector([1]), vector([2])] },
    { name: "backwards", inputs: [{ shape: [2, 5] }, vector([-1]), vector([-6]), vector([1]), vector([-2])] },
    {
      name: "the other way round",
      inputs: [{ shape: [3, 4] }, vector([-1, -1]), vector([-(2 ** 40), -(2 ** 31)]), vector([0, 1]), vector([-1, -1])],
    },
    { name: "everything", inputs: [{ shape: [2, 3] }, vector([0]), vector([3]), vector([1])] },
    {
      name: "run-time bounds",
      inputs: [
        { shape: [2, 4] },
        { ...vector([1]), constant: false },
        { ...vector([3]), constant: false },
        vector([1]),
      ],
    },
  ],
};

function vector(values: readonly number[]): SampleInput {
  return { shape: [values.length], dtype: "int64", values, constant: true };
}
