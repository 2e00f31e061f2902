import { int, tensorType } from "../../ir/graph.js";
import { check } from "../../util/assert.js";
import { normalizeAxis } from "../../util/shape.js";
import { composite } from "../composite.js";
import * as e from "../emit.js";
import type { LoweredRule } from "../rule.js";
import { constantScalar } from "../shapes.js";

/** y = running products of x along an axis, by doubling: log₂ n products of shifted tensors, so that zeros do no harm. */
export const rule: LoweredRule<"CumProd"> = composite({
  op: "CumProd",
  since: 26,
  decompose: (b, node) => {
    const x = node.input(0);
    const given = constantScalar(b, node.input(1));
    check(given !== undefined, () => `${node.label}: its axis is computed; a derivative needs it constant`);
    const axis = normalizeAxis(given, x.dims.length);
    const size = x.dims[axis];
    check(typeof size === "number", () => `${node.label}: a derivative needs to know the size of axis ${axis}`);
    const reverse = node.int("reverse", 0) !== 0;
    const cut = (v: e.V, from: number, to: number): e.V =>
      e.slice(b, v, b.int64s([from]), b.int64s([to]), [axis], tensorType(v.dtype, sized(to - from)));
    const sized = (n: number) => x.dims.map((d, i) => (i === axis ? n : d));
    /** Ones in the place of the first `by` elements, and the others moved behind them. */
    const shifted = (v: e.V, by: number): e.V => {
      const ones = e.fullLike(b, 1, cut(v, 0, by));
      return reverse ? e.concat(b, [cut(v, by, size), ones], axis) : e.concat(b, [ones, cut(v, 0, size - by)], axis);
    };
    let y = node.int("exclusive", 0) !== 0 ? shifted(x, 1) : x;
    for (let by = 1; by < size; by *= 2) y = e.mul(b, y, shifted(y, by));
    return [y];
  },
  samples: [
    { inputs: [{ shape: [2, 5], fixed: [1] }, axis(1)] },
    {
      name: "exclusive, reverse, a zero",
      inputs: [{ shape: [4], values: [0.7, 0, -1.3, 0.4], fixed: [0] }, axis(0)],
      attributes: { exclusive: int(1), reverse: int(1) },
    },
    { name: "reverse", inputs: [{ shape: [3, 2], fixed: [0] }, axis(-2)], attributes: { reverse: int(1) } },
  ],
});

function axis(value: number) {
  return { shape: [], dtype: "int64" as const, values: [value], constant: true };
}
