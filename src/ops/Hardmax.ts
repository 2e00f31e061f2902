import { int } from "../ir/graph.js";
import type { OpRule } from "./rule.js";

/** One at the first largest element along an axis: constant between ties. */
export const rule: OpRule<"Hardmax"> = {
  op: "Hardmax",
  since: 13,
  vjp: "zero",
  jvp: "zero",
  samples: [{ inputs: [{ shape: [2, 3], distinct: 0.05 }], attributes: { axis: int(0) } }],
};
