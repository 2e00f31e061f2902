import type { Constants } from "../ir/builder.js";
import { int, tensorType, type Node } from "../ir/graph.js";
import { normalizeAxis } from "../util/shape.js";
import * as e from "./emit.js";
import type { InferRule, Sample } from "./rule.js";
import { constantNumbers } from "./shapes.js";

/** The axes that a Reduce* node reduces, counted from the front; undefined where they are computed at run time. */
export function reducedAxes(constants: Constants, node: Node): number[] | undefined {
  const rank = node.input(0).shape?.length;
  const given = node.inputs[1] ? constantNumbers(constants, node.inputs[1]) : [];
  if (!given) return undefined;
  if (given.length === 0)
    return node.int("noop_with_empty_axes", 0) ? [] : rank === undefined ? undefined : range(rank);
  return rank === undefined ? undefined : given.map((a) => normalizeAxis(a, rank));
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

export const keepsDims = (node: Node): boolean => node.int("keepdims", 1) !== 0;

/** Whether the node reduces nothing (empty axes declared to mean that). */
export const reducesNothing = (constants: Constants, node: Node): boolean =>
  reducedAxes(constants, node)?.length === 0 && node.int("noop_with_empty_axes", 0) !== 0;

/** A value of the shape of the node's output, with the reduced axes kept as 1, so that it broadcasts against the input. */
export function withReducedAxes(b: e.B, node: Node, v: e.V): e.V {
  if (keepsDims(node)) return v;
  const axes = node.inputs[1];
  const known = reducedAxes(b, node);
  if (known) return known.length === 0 || known.length === node.input(0).dims.length ? v : e.unsqueeze(b, v, known);
  return axes ? b.op("Unsqueeze", [v, axes]) : v;
}

/** Sums `v`, of the shape of the node's input, over the node's axes, dropping them as the node does. */
export function reduceAlike(b: e.B, node: Node, v: e.V): e.V {
  const noop = node.attributes["noop_with_empty_axes"];
  const attributes = { keepdims: int(keepsDims(node) ? 1 : 0), ...(noop ? { noop_with_empty_axes: noop } : {}) };
  return b.op("ReduceSum", [v, node.inputs[1] ?? null], attributes, { types: [node.output().type] });
}

/** How many elements each output element of the node stands for, as a scalar of the input's dtype. */
export function reducedCount(b: e.B, node: Node): e.V {
  const x = node.input(0);
  const axes = reducedAxes(b, node);
  if (axes) return e.countOf(b, x, axes);
  return e.div(b, e.cast(b, e.size(b, x), x.dtype), e.cast(b, e.size(b, node.output()), x.dtype));
}

export const reduced: InferRule = (node, constants) => {
  const x = node.input(0);
  const axes = reducedAxes(constants, node);
  if (!axes || !x.shape) return [tensorType(x.dtype, null)];
  const dims = keepsDims(node)
    ? x.shape.map((d, i) => (axes.includes(i) ? 1 : d))
    : x.shape.filter((_, i) => !axes.includes(i));
  return [tensorType(x.dtype, dims)];
};

/** Samples that every reduction is checked on; `input` says what its domain and kinks need. */
export const reductionSamples = (input: Partial<Sample["inputs"][number]> = {}): Sample[] => {
  const x = (shape: readonly number[]) => ({ ...input, shape });
  const axes = (values: readonly number[]) =>
    ({ shape: [values.length], dtype: "int64", values, constant: true }) as const;
  return [
    { name: "all", inputs: [x([2, 3])] },
    { name: "all, without keepdims", inputs: [x([2, 3])], attributes: { keepdims: int(0) } },
    { name: "last axis", inputs: [x([2, 3, 2]), axes([-1])] },
    { name: "two axes, without keepdims", inputs: [x([2, 3, 2]), axes([0, -1])], attributes: { keepdims: int(0) } },
    { name: "no axis", inputs: [x([2, 3]), axes([])], attributes: { noop_with_empty_axes: int(1) } },
  ];
};
