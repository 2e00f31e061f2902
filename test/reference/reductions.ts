/** Reductions over axes. */
import { reduceLines, wrap } from "./array.js";
import type { Op } from "./call.js";
import { logSumExp } from "./special.js";

const sum = (xs: Float64Array, f: (x: number) => number = (x) => x): number => {
  let total = 0;
  for (const x of xs) total += f(x);
  return total;
};

/** No axes: all of them, or none under `noop_with_empty_axes` (an elementwise `f` of single elements). */
const reduction =
  (f: (line: Float64Array) => number): Op =>
  (c) => {
    const x = c.at(0);
    let axes = c.numbers(1, "axes") ?? [];
    if (axes.length === 0 && c.node.int("noop_with_empty_axes", 0) === 0) axes = [...x.dims.keys()];
    return reduceLines(x, axes, c.node.int("keepdims", 1) === 1, (line) => wrap(x.dtype, f(line)));
  };

export const reductions: Record<string, Op> = {
  ReduceSum: reduction((xs) => sum(xs)),
  ReduceMean: reduction((xs) => sum(xs) / xs.length),
  ReduceMax: reduction((xs) => xs.reduce((a, b) => Math.max(a, b), -Infinity)),
  ReduceMin: reduction((xs) => xs.reduce((a, b) => Math.min(a, b), Infinity)),
  ReduceProd: reduction((xs) => xs.reduce((a, b) => a * b, 1)),
  ReduceSumSquare: reduction((xs) => sum(xs, (x) => x * x)),
  ReduceL1: reduction((xs) => sum(xs, Math.abs)),
  ReduceL2: reduction((xs) => Math.sqrt(sum(xs, (x) => x * x))),
  ReduceLogSum: reduction((xs) => Math.log(sum(xs))),
  ReduceLogSumExp: reduction(logSumExp),
};
