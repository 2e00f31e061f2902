import { int, tensorType, type Node } from "../ir/graph.js";
import { normalizeAxis, type Dim } from "../util/shape.js";
import * as e from "./emit.js";
import type { OpRule, SampleInput } from "./rule.js";
import { constantNumbers } from "./shapes.js";

const axisOf = (node: Node): number => normalizeAxis(node.int("axis", 0), node.input(0).dims.length);

/** Size of part `i` along the axis, as an int64 vector of one element. */
function partSize(b: e.B, node: Node, i: number): e.V {
  const split = node.inputs[1];
  if (split) {
    const known = constantNumbers(b, split);
    return known ? b.int64s([known[i] ?? 0]) : e.slice(b, split, b.int64s([i]), b.int64s([i + 1]), [0]);
  }
  const parts = node.int("num_outputs", node.outputs.length);
  const size = e.dimOf(b, node.input(0), axisOf(node));
  const chunk = e.div(b, e.add(b, size, b.int64s([parts - 1])), b.int64s([parts]));
  return i < parts - 1 ? chunk : e.sub(b, size, e.mul(b, chunk, b.int64s([parts - 1])));
}

/** Zeros in the place of a part that nothing reads. */
function zeros(b: e.B, node: Node, i: number): e.V {
  const x = node.input(0);
  const part = node.outputs[i];
  if (part) return e.fullLike(b, 0, part);
  const axis = axisOf(node);
  const sizes = x.dims.map((_, j) => (j === axis ? partSize(b, node, i) : e.dimOf(b, x, j)));
  return b.op("Expand", [e.scalarLike(b, 0, x), e.joinConstants(b, sizes)]);
}

/** Parts of x along an axis, of given sizes or of equal ones (the last may be smaller). */
export const rule: OpRule<"Split"> = {
  op: "Split",
  since: 18,
  vjp: ({ b }, node, cotangents) => {
    if (cotangents.every((d) => !d)) return [null, null];
    const parts = node.outputs.map((_, i) => cotangents[i] ?? zeros(b, node, i));
    return [b.op("Concat", parts, { axis: int(axisOf(node)) }, { types: [node.input(0).type] }), null];
  },
  jvp: "linear",
  infer: (node, constants) => {
    const x = node.input(0);
    const axis = axisOf(node);
    const given = node.inputs[1] ? constantNumbers(constants, node.inputs[1]) : undefined;
    const size = x.dims[axis];
    const parts = node.outputs.length;
    const sizeOf = (i: number): Dim => {
      if (node.inputs[1]) return given?.[i] ?? `?split${i}`;
      if (typeof size !== "number") return `?split${i}`;
      const chunk = Math.ceil(size / parts);
      return Math.min(chunk, size - i * chunk);
    };
    return node.outputs.map((_, i) =>
      tensorType(
        x.dtype,
        x.dims.map((d, j) => (j === axis ? sizeOf(i) : d)),
      ),
    );
  },
  samples: [
    {
      name: "equal parts",
      inputs: [{ shape: [2, 4] }],
      attributes: { axis: int(-1), num_outputs: int(2) },
      outputs: 2,
    },
    { name: "a smaller last part", inputs: [{ shape: [5] }], attributes: { num_outputs: int(3) }, outputs: 3 },
    { name: "given sizes", inputs: [{ shape: [2, 5] }, sizes([1, 3, 1])], attributes: { axis: int(1) }, outputs: 3 },
    { name: "run-time sizes", inputs: [{ shape: [3, 2] }, { ...sizes([1, 2]), constant: false }], outputs: 2 },
  ],
};

function sizes(values: readonly number[]): SampleInput {
  return { shape: [values.length], dtype: "int64", values, constant: true };
}
