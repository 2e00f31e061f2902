import { int, string } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { scattering, withReductions } from "./scatter.js";

/** Writes elements along an axis. */
export const rule: OpRule<"ScatterElements"> = scattering(
  "ScatterElements",
  (b, node, dy) => e.gatherElements(b, dy, node.input(1), node.int("axis", 0)),
  [
    {
      name: "first axis",
      inputs: [{ shape: [3, 2] }, { shape: [2, 2], dtype: "int64", values: [0, 2, 1, 0] }, { shape: [2, 2] }],
    },
    {
      name: "last axis",
      inputs: [{ shape: [2, 3] }, { shape: [2, 1], dtype: "int64", values: [-1, 1] }, { shape: [2, 1] }],
      attributes: { axis: int(-1) },
    },
  ],
  [
    ...withReductions({
      name: "one element three times",
      inputs: [
        { shape: [3], values: [0.7, 1.1, 1.3] },
        { shape: [4], dtype: "int64", values: [1, 0, 1, -2] },
        { shape: [4], values: [1.4, 0.9, 0.6, 1.7] },
      ],
    }),
    {
      name: "zeros, one element twice",
      inputs: [
        { shape: [4], values: [0, 0.7, 0, 1.2] },
        { shape: [5], dtype: "int64", values: [0, 1, 2, 2, 3] },
        { shape: [5], values: [0.6, 0, 0, 1.4, -0.8] },
      ],
      attributes: { reduction: string("mul") },
    },
  ],
);
