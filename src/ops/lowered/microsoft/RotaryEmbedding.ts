import { int } from "../../../ir/graph.js";
import { check } from "../../../util/assert.js";
import { indexAlong, joinHeads, rotate, splitHeads } from "../../attention.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";

/** Pairs of elements of each head turned by an angle of their position: positions of each token, or of the first one. */
export const rule: LoweredRule<"RotaryEmbedding"> = composite({
  op: "RotaryEmbedding",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const [given, positions, cos, sin] = [node.input(0), node.input(1), node.input(2), node.input(3)];
    const half = cos.dims[1];
    check(typeof half === "number", () => `${node.label}: the size of its heads is not known`);
    const rotated = 2 * half;
    const three = given.dims.length === 3;
    const heads = node.int("num_heads", 0) || Number(given.dims[2]) / rotated;
    const x = three ? splitHeads(b, given, heads) : given;
    const at = positions.dims.length === 1 ? e.add(b, indexAlong(b, x, 2), positions) : positions;
    const angles = (cache: e.V): e.V => {
      const read = e.gather(b, cache, at, 0);
      return at === positions ? e.unsqueeze(b, read, [1]) : read;
    };
    const y = rotate(b, x, angles(cos), angles(sin), rotated, node.int("interleaved", 0) !== 0);
    return [three ? joinHeads(b, y) : y];
  },
  samples: [
    {
      inputs: [x(1, 3, 8), { shape: [1, 3], dtype: "int64", values: [0, 3, 1] }, x(5, 2), x(5, 2)],
    },
    {
      name: "from a position on, interleaved",
      inputs: [x(2, 2, 2, 4), { shape: [1], dtype: "int64", values: [1] }, x(4, 2), x(4, 2)],
      attributes: { interleaved: int(1) },
    },
  ],
});

function x(...shape: number[]) {
  return { shape, fixed: shape.length === 4 ? [1, 3] : [shape.length - 1] };
}
