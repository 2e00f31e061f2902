import { int, tensorType } from "../ir/graph.js";
import { check } from "../util/assert.js";
import { freshDim } from "../util/shape.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** y = the places that θ maps the points of a regular grid to: [batch, …, d] for θ [batch, d, d + 1]; linear in θ. */
export const rule: OpRule<"AffineGrid"> = composite({
  op: "AffineGrid",
  since: 20,
  decompose: (b, node) => {
    const [theta, size, y] = [node.input(0), node.input(1), node.output()];
    const axes = y.dims.length - 2;
    check(axes === 2 || axes === 3, () => `${node.label}: its grid has ${axes} axes; 2 or 3 are expected`);
    const aligned = node.int("align_corners", 0) !== 0;
    const sizes = Array.from({ length: axes }, (_, i) => e.slice(b, size, b.int64s([i + 2]), b.int64s([i + 3]), [0]));
    // −1…1 along each axis, from the first to the last point, or from edge to edge.
    const along = sizes.map((d) => {
      const n = e.squeeze(b, d, [0]);
      const at = e.cast(b, e.rangeTo(b, n), theta.dtype);
      const count = e.cast(b, n, theta.dtype);
      const from = aligned ? e.scale(b, at, 2) : e.shift(b, e.scale(b, at, 2), 1);
      return e.shift(b, e.div(b, from, aligned ? e.shift(b, count, -1) : count), -1);
    });
    const grid = tensorType(
      theta.dtype,
      sizes.map(() => freshDim()),
    );
    const shape = e.joinConstants(b, sizes);
    const columns = along.map((v, i) => {
      const following = Array.from({ length: axes - 1 - i }, (_, k) => k + 1);
      const column = following.length > 0 ? e.unsqueeze(b, v, following) : v;
      return e.unsqueeze(b, e.expand(b, column, shape, grid), [axes]);
    });
    const one = e.unsqueeze(b, e.expand(b, e.scalarLike(b, 1, theta), shape, grid), [axes]);
    // Points are (x, y, …, 1): the last spatial axis comes first.
    const points = e.concat(b, [...columns.reverse(), one], axes);
    const flat = e.reshapeTo(b, points, b.int64s([-1, axes + 1]), tensorType(theta.dtype, [freshDim(), axes + 1]));
    return [e.reshapeTo(b, e.matmul(b, flat, e.transposeLast(b, theta)), e.shapeOf(b, y), y.type)];
  },
  samples: [
    { inputs: [{ shape: [2, 2, 3] }, size(2, 1, 2, 3)] },
    {
      name: "corners aligned",
      inputs: [{ shape: [1, 2, 3] }, size(1, 1, 3, 2)],
      attributes: { align_corners: int(1) },
    },
    { name: "three axes", inputs: [{ shape: [2, 3, 4] }, size(2, 1, 2, 3, 2)] },
  ],
});

function size(...values: number[]) {
  return { shape: [values.length], values, dtype: "int64" as const, constant: true };
}
