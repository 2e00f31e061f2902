import { float, int, ints, type Node } from "../ir/graph.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** Which rows (columns) of the image each bin of each region takes: 1 or 0, [regions, bins, size]. */
function taken(b: e.B, node: Node, start: e.V, end: e.V, bins: number, size: e.V): e.V {
  const scale = node.float("spatial_scale", 1);
  // Halves are rounded away from zero, as C's `round` does; corners are not negative.
  const rounded = (v: e.V): e.V => b.op("Floor", [e.shift(b, e.scale(b, v, scale), 0.5)]);
  const [from, to] = [rounded(start), rounded(end)];
  const length = e.max(b, e.shift(b, e.sub(b, to, from), 1), e.scalarLike(b, 1, from));
  const bin = e.scale(b, length, 1 / bins);
  const index = e.unsqueeze(b, e.cast(b, e.rangeTo(b, b.scalar(bins, "int64")), bin.dtype), [1]);
  const first = e.add(b, b.op("Floor", [e.mul(b, bin, index)]), from);
  const beyond = e.add(b, b.op("Ceil", [e.mul(b, bin, e.shift(b, index, 1))]), from);
  const at = e.cast(b, e.rangeTo(b, e.squeeze(b, size, [0])), bin.dtype);
  return e.and(b, e.greaterOrEqual(b, at, first), e.less(b, at, beyond));
}

/** y = maxima of x over the bins of regions (batch, x₁, y₁, x₂, y₂): the regions have no derivative; equal maxima share. */
export const rule: OpRule<"MaxRoiPool"> = composite({
  op: "MaxRoiPool",
  since: 1,
  decompose: (b, node) => {
    const [x, rois] = [node.input(0), node.input(1)];
    const [height = 1, width = 1] = node.ints("pooled_shape") ?? [];
    const column = (i: number): e.V => e.unsqueeze(b, e.gather(b, rois, b.int64s([i]), 1), [2]);
    const batch = e.cast(b, e.gather(b, rois, b.scalar(0, "int64"), 1), "int64");
    const images = e.gather(b, x, batch, 0);
    const lowest = e.scalarLike(b, -3e38, x);
    const largest = (mask: e.V, v: e.V, axis: number): e.V =>
      b.op("ReduceMax", [e.where(b, mask, v, lowest), b.int64s([axis])], { keepdims: int(0) });
    const rows = taken(b, node, column(2), column(4), height, e.dimOf(b, x, 2));
    const columns = taken(b, node, column(1), column(3), width, e.dimOf(b, x, 3));
    // [regions, channels, bins, rows, columns], then [regions, channels, bins, bins, columns].
    const overRows = largest(e.unsqueeze(b, rows, [1, 4]), e.unsqueeze(b, images, [2]), 3);
    const overBoth = largest(e.unsqueeze(b, columns, [1, 2]), e.unsqueeze(b, overRows, [3]), 4);
    const empty = e.less(b, overBoth, e.scalarLike(b, -1e38, x));
    return [e.where(b, empty, e.scalarLike(b, 0, x), overBoth)];
  },
  samples: [
    {
      inputs: [
        { shape: [2, 2, 4, 5], distinct: 0.002 },
        { shape: [3, 5], values: [0, 0, 0, 3, 3, 1, 1, 0, 4, 2, 0, 2, 1, 4, 3], constant: true },
      ],
      attributes: { pooled_shape: ints([2, 2]), spatial_scale: float(1) },
    },
  ],
});
