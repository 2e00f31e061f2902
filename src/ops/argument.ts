import { int } from "../ir/graph.js";
import type { OpRule } from "./rule.js";

/** The index of an extremum: an integer, without a derivative. */
export const argument = <O extends string>(op: O): OpRule<O> => ({
  op,
  since: 13,
  vjp: "zero",
  jvp: "zero",
  samples: [
    { inputs: [{ shape: [2, 3], distinct: 0.02 }], attributes: { axis: int(-1) } },
    { inputs: [{ shape: [2, 3], distinct: 0.02 }], attributes: { keepdims: int(0) } },
  ],
});
