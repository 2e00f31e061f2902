import { int } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { scattering } from "./scatter.js";

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
);
