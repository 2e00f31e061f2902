import { ints, tensorType } from "../ir/graph.js";
import { freshDim, normalizeAxis } from "../util/shape.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** y = x cut or padded with zeros along some axes, evenly at both ends; the odd element goes at the end. */
export const rule: OpRule<"CenterCropPad"> = composite({
  op: "CenterCropPad",
  since: 18,
  decompose: (b, node) => {
    const [x, shape, y] = [node.input(0), node.input(1), node.output()];
    const rank = x.dims.length;
    const axes = (node.ints("axes") ?? x.dims.map((_, i) => i)).map((a) => normalizeAxis(a, rank));
    const [zero, two] = [b.int64s([0]), b.int64s([2])];
    const ends = axes.map((axis, i) => {
      const [own, wanted] = [e.dimOf(b, x, axis), e.slice(b, shape, b.int64s([i]), b.int64s([i + 1]), [0])];
      const [less, more] = [e.max(b, e.sub(b, own, wanted), zero), e.max(b, e.sub(b, wanted, own), zero)];
      const start = e.div(b, less, two);
      const before = e.div(b, more, two);
      return { start, end: e.add(b, start, e.min(b, own, wanted)), before, after: e.sub(b, more, before) };
    });
    const middle = tensorType(
      x.dtype,
      x.dims.map((d, i) => (axes.includes(i) ? freshDim() : d)),
    );
    const [starts, stops] = [ends.map((a) => a.start), ends.map((a) => a.end)];
    const cut = e.slice(b, x, e.joinConstants(b, starts), e.joinConstants(b, stops), axes, middle);
    return [
      e.pad(
        b,
        cut,
        ends.map((a) => a.before),
        ends.map((a) => a.after),
        axes,
        y.type,
      ),
    ];
  },
  samples: [
    { name: "cut and padded", inputs: [{ shape: [4, 3, 2] }, { ...shape(2, 3, 5), constant: true }] },
    {
      name: "some axes, odd",
      inputs: [{ shape: [3, 5, 2] }, { ...shape(2, 5), constant: true }],
      attributes: { axes: ints([-2, 2]) },
    },
    { name: "known at run time", inputs: [{ shape: [3, 2] }, shape(2, 5)] },
  ],
});

function shape(...values: number[]) {
  return { shape: [values.length], values, dtype: "int64" as const };
}
