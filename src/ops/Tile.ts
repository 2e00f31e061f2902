import { tensorType } from "../ir/graph.js";
import { freshDim, isStatic } from "../util/shape.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { constantNumbers } from "./shapes.js";

/** [r₀, d₀, r₁, d₁, …]: the shape of y with every repetition an axis of its own. */
function repeatedShape(b: e.B, x: e.V, repeats: e.V): e.V {
  const known = constantNumbers(b, repeats);
  if (known && isStatic(x.dims)) return b.int64s(x.dims.flatMap((d, i) => [known[i] ?? 1, d]));
  const pairs = e.concat(b, [e.unsqueeze(b, repeats, [1]), e.unsqueeze(b, e.shapeOf(b, x), [1])], 1);
  return e.reshape(b, pairs, [2 * x.dims.length]);
}

/** y = x repeated along every axis. */
export const rule: OpRule<"Tile"> = {
  op: "Tile",
  since: 13,
  vjp: ({ b }, node, [dy]) => {
    if (!dy) return [null, null];
    const x = node.input(0);
    const dims = x.dims.flatMap((d) => [freshDim(), d]);
    const parts = e.reshapeTo(b, dy, repeatedShape(b, x, node.input(1)), tensorType(dy.dtype, dims));
    const sum = e.reduceSum(
      b,
      parts,
      x.dims.map((_, i) => 2 * i),
      false,
    );
    return [sum, null];
  },
  jvp: "linear",
  infer: (node, constants) => {
    const x = node.input(0);
    const repeats = constantNumbers(constants, node.input(1));
    const dims = x.dims.map((d, i) => {
      const n = repeats?.[i];
      return n === 1 ? d : n !== undefined && typeof d === "number" ? n * d : freshDim();
    });
    return [tensorType(x.dtype, dims)];
  },
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [2], dtype: "int64", values: [2, 3], constant: true }] },
    { name: "run-time repeats", inputs: [{ shape: [2, 1] }, { shape: [2], dtype: "int64", values: [1, 3] }] },
  ],
};
