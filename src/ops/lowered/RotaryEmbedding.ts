import { int } from "../../ir/graph.js";
import { check } from "../../util/assert.js";
import { joinHeads, rotate, splitHeads } from "../attention.js";
import { composite } from "../composite.js";
import * as e from "../emit.js";
import type { LoweredRule, SampleInput } from "../rule.js";

/** Pairs of elements of each head turned by an angle of their position (Su et al. 2021): linear in x. */
export const rule: LoweredRule<"RotaryEmbedding"> = composite({
  op: "RotaryEmbedding",
  since: 23,
  decompose: (b, node) => {
    const [given, cos, sin, positions] = [node.input(0), node.input(1), node.input(2), node.inputs[3]];
    const three = given.dims.length === 3;
    const x = three ? splitHeads(b, given, node.int("num_heads", 1)) : given;
    const rotated = node.int("rotary_embedding_dim", 0) || x.dims[3];
    check(typeof rotated === "number", () => `${node.label}: the size of its heads is not known`);
    const angles = (cache: e.V): e.V => e.unsqueeze(b, positions ? e.gather(b, cache, positions, 0) : cache, [1]);
    const y = rotate(b, x, angles(cos), angles(sin), rotated, node.int("interleaved", 0) !== 0);
    return [three ? joinHeads(b, y) : y];
  },
  samples: [
    { inputs: [x(1, 2, 3, 4), x(5, 2), x(5, 2), { shape: [1, 3], dtype: "int64", values: [0, 3, 1] }] },
    {
      name: "three axes, interleaved",
      inputs: [x(2, 2, 8), x(2, 2, 2), x(2, 2, 2)],
      attributes: { num_heads: int(2), interleaved: int(1) },
    },
    {
      name: "part of a head",
      inputs: [x(1, 1, 2, 6), x(1, 2, 2), x(1, 2, 2)],
      attributes: { rotary_embedding_dim: int(4) },
    },
  ],
});

function x(...shape: number[]): SampleInput {
  return { shape, fixed: [shape.length - 1] };
}
