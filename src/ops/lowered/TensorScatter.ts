import { int, string } from "../../ir/graph.js";
import { normalizeAxis } from "../../util/shape.js";
import { indexAlong } from "../attention.js";
import { composite } from "../composite.js";
import * as e from "../emit.js";
import type { LoweredRule } from "../rule.js";

/** y = a cache with an update written over it along one axis, from a position of each element of the batch on. */
export const rule: LoweredRule<"TensorScatter"> = composite({
  op: "TensorScatter",
  since: 24,
  decompose: (b, node) => {
    const [past, update, starts] = [node.input(0), node.input(1), node.inputs[2]];
    const rank = past.dims.length;
    const axis = normalizeAxis(node.int("axis", -2), rank);
    const others = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis);
    let at = e.unsqueeze(b, indexAlong(b, update, axis), others);
    if (starts) {
      const behind = Array.from({ length: rank - 1 }, (_, i) => i + 1);
      at = e.add(b, at, e.unsqueeze(b, starts, behind));
    }
    if (node.string("mode", "linear") === "circular") at = b.op("Mod", [at, e.dimOf(b, past, axis)]);
    return [b.op("ScatterElements", [past, e.expandLike(b, at, update), update], { axis: int(axis) })];
  },
  samples: [
    { inputs: [{ shape: [2, 1, 4, 2] }, { shape: [2, 1, 2, 2] }, { shape: [2], dtype: "int64", values: [1, 0] }] },
    {
      name: "round about",
      inputs: [{ shape: [2, 3, 2] }, { shape: [2, 2, 2] }, { shape: [2], dtype: "int64", values: [2, 1] }],
      attributes: { mode: string("circular") },
    },
    { name: "from the start", inputs: [{ shape: [1, 3, 2] }, { shape: [1, 2, 2] }] },
  ],
});
