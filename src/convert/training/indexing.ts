import { int, tensorType, type Attributes, type Node } from "../../ir/graph.js";
import { Tensor } from "../../ir/tensor.js";
import { rules } from "../../ops/index.js";
import * as e from "../../ops/emit.js";
import type { OpName } from "../../ops/names.js";
import type { RuleContext } from "../../ops/rule.js";
import { shapeValue } from "../../ops/shapes.js";
import { invariant, must } from "../../util/assert.js";
import { given, type Given, type Lower, type TrainingOp, type TrainingOps, type Twin } from "./training_op.js";

/** The cotangent of the first input of a standard operator, by the operator's own rule. */
export function adjoint(c: RuleContext, op: OpName, inputs: Given, attributes: Attributes, dy: e.V): e.V {
  return must(adjoints(c, op, inputs, attributes, dy)[0], `the cotangent of ${op}`);
}

/** The cotangents of all inputs of a standard operator whose output has the type of `dy`. */
export function adjoints(c: RuleContext, op: OpName, inputs: Given, attributes: Attributes, dy: e.V): Given {
  const node = c.b.node(op, inputs, attributes, {}, { types: [dy.type] });
  const { vjp } = rules[op];
  invariant(vjp !== "zero", `the gradient of ${op}`);
  return vjp(
    c,
    node,
    [dy],
    inputs.map((v) => v !== null),
  );
}

/** A tensor of the shape that an int64 vector holds: the one that it was read from, where there is one. */
function shaped(b: e.B, shape: e.V, node: Node): e.V {
  const from = shape.producer;
  if (from?.op === "Shape" && Object.keys(from.attributes).length === 0) return from.input(0);
  const type = node.output().type;
  return e.expand(b, b.scalar(0), shape, type);
}

const filledTwin =
  (shapeAt: number): Twin =>
  (t, node, inputs) => [t.filled(given(node, inputs, shapeAt))];

interface Places {
  dy: number;
  shape: number;
  /** Positions of the further inputs of the forward operator. */
  rest: readonly number[] | "following";
}

/** An operator that adds dy back to the places that `op` read it from. */
const scattering = (op: OpName, { dy, shape, rest }: Places): TrainingOp => ({
  types: filledTwin(shape),
  lower: (c, node, inputs) => {
    const others = rest === "following" ? inputs.slice(2) : rest.map((i) => given(node, inputs, i));
    const x = shaped(c.b, given(node, inputs, shape), node);
    return [adjoint(c, op, [x, ...others], node.attributes, given(node, inputs, dy))];
  },
});

/**
 * BroadcastGradientArgs(shape of a, shape of b): the axes along which each was broadcast against the other. Known where
 * the shapes are, else found at run time.
 */
const broadcastAxes: Lower = ({ b }, node, inputs) => {
  const [first, second] = [given(node, inputs, 0), given(node, inputs, 1)];
  return [axesOf(b, first, second), axesOf(b, second, first)];
};

function axesOf(b: e.B, own: e.V, other: e.V): e.V {
  const [mine, theirs] = [shapeValue(b, own), shapeValue(b, other)];
  if (mine && theirs) {
    const missing = Math.max(0, theirs.length - mine.length);
    const axes: number[] = [...Array(missing).keys()];
    const excess = Math.max(0, mine.length - theirs.length);
    const against = mine.map((d, i) => (i < excess ? d : theirs[i - excess + missing]));
    mine.forEach((d, i) => {
      if (d === 1 && against[i] !== 1) axes.push(i + missing);
    });
    const unknown = mine.some((d, i) => d !== against[i] && against[i] !== 1 && typeof d === "string");
    if (!unknown) return b.int64s(axes);
  }
  const [length, against] = [own.dims[0], other.dims[0]];
  invariant(typeof length === "number" && typeof against === "number", "the rank of a broadcast operand is not known");
  const rank = Math.max(length, against);
  const padded = (v: e.V, n: number): e.V =>
    e.joinConstants(b, [...(rank > n ? [b.int64s(Array<number>(rank - n).fill(1))] : []), v]);
  const [p, q] = [padded(own, length), padded(other, against)];
  const broadcast = e.and(b, e.equal(b, p, b.int64s([1])), e.not(b, e.equal(b, p, q)));
  const missing = Tensor.of(
    "bool",
    [rank],
    Array.from({ length: rank }, (_, i) => Number(i < rank - length)),
  );
  const reduced = rank > length ? e.or(b, broadcast, b.constant(missing)) : broadcast;
  const found = b.op("NonZero", [reduced], {}, { types: [tensorType("int64", [1, "?axes"])] });
  return e.squeeze(b, found, [0]);
}

const broadcastTwin: Twin = (t, node, inputs) => {
  const one = t.constant(Tensor.int64s([1]));
  const shapes = [given(node, inputs, 0), given(node, inputs, 1)];
  const ranks = shapes.map((s) => t.op("Shape", [s]));
  const rank = t.op("Max", ranks);
  const padded = shapes.map((s, i) =>
    t.op("Concat", [t.op("Expand", [one, t.op("Sub", [rank, must(ranks[i], "a rank")])]), s], { axis: int(0) }),
  );
  const same = t.op("Equal", padded);
  return padded.map((p) => {
    const reduced = t.op("And", [t.op("Equal", [p, one]), t.op("Not", [same])]);
    return t.op("Squeeze", [t.op("NonZero", [reduced]), t.constant(Tensor.int64s([0]))]);
  });
};

/** Concat that also gives the sizes of its parts, for SplitTraining. */
const concat: TrainingOp = {
  types: (t, node, inputs) => {
    const axis = node.int("axis", 0);
    const at = t.constant(Tensor.int64s([axis]));
    const sizes = inputs.map((v) => t.op("Gather", [t.op("Shape", [v]), at], { axis: int(0) }));
    return [t.op("Concat", inputs, { axis: int(axis) }), t.op("Concat", sizes, { axis: int(0) })];
  },
  lower: ({ b }, node, inputs) => {
    const axis = node.int("axis", 0);
    const parts = inputs.filter((v) => v !== null);
    const sizes = node.outputs[1]
      ? e.joinConstants(
          b,
          parts.map((v) => e.dimOf(b, v, axis)),
        )
      : null;
    return [b.op("Concat", parts, { axis: int(axis) }, { types: [node.output().type] }), sizes];
  },
};

const split: TrainingOp = {
  types: (t, node, inputs) => t.ops("Split", inputs, node.outputs.length, { axis: int(node.int("axis", 0)) }),
  lower: ({ b }, node, inputs) => {
    const types = node.outputs.map((o) => o?.type ?? null);
    const attributes = { axis: int(node.int("axis", 0)) };
    return b.node("Split", inputs, attributes, {}, { outputs: types.length, types }).outputs;
  },
};

const reduceSum: TrainingOp = {
  types: (t, node, inputs) => [t.op("ReduceSum", inputs, node.attributes)],
  lower: ({ b }, node, inputs) => {
    const axes = b.constantOf(given(node, inputs, 1));
    if (axes?.size === 0 && node.int("noop_with_empty_axes", 0) !== 0) return [given(node, inputs, 0)];
    return [b.op("ReduceSum", inputs, node.attributes, { types: [node.output().type] })];
  },
};

/** An operator that the default domain has under the same meaning. */
const standard = (op: OpName): TrainingOp => ({
  types: (t, node, inputs) => [t.op(op, inputs, node.attributes)],
  lower: ({ b }, node, inputs) => [b.op(op, inputs, node.attributes, { types: [node.output().type] })],
});

export const indexing: TrainingOps = {
  GatherGrad: scattering("Gather", { shape: 0, rest: [1], dy: 2 }),
  GatherElementsGrad: scattering("GatherElements", { dy: 0, shape: 1, rest: [2] }),
  GatherNDGrad: scattering("GatherND", { shape: 0, rest: [1], dy: 2 }),
  SliceGrad: scattering("Slice", { dy: 0, shape: 1, rest: "following" }),
  ShrunkenGather: standard("Gather"),
  Trilu: standard("Trilu"),
  ConcatTraining: concat,
  SplitTraining: split,
  ReduceSumTraining: reduceSum,
  BroadcastGradientArgs: { types: broadcastTwin, lower: broadcastAxes },
};
