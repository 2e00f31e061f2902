import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { scattering, withReductions } from "./scatter.js";

/** Writes slices at index tuples. */
export const rule: OpRule<"ScatterND"> = scattering(
  "ScatterND",
  (b, node, dy) => e.gatherND(b, dy, node.input(1), node.input(2).type),
  [
    {
      name: "elements",
      inputs: [{ shape: [2, 3] }, { shape: [2, 2], dtype: "int64", values: [0, 1, 1, 2] }, { shape: [2] }],
    },
    {
      name: "slices",
      inputs: [{ shape: [3, 2] }, { shape: [2, 1], dtype: "int64", values: [2, 0] }, { shape: [2, 2] }],
    },
  ],
  withReductions({
    name: "one slice twice",
    inputs: [
      { shape: [3, 2], values: [0.7, 1.1, 1.3, 0.6, 1.9, 0.8] },
      { shape: [3, 1], dtype: "int64", values: [2, 0, -1] },
      { shape: [3, 2], values: [1.2, 1.6, 0.9, 0.5, 2.2, 1.4] },
    ],
  }),
);
