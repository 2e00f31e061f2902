import { reduceExtremum } from "./reduceExtremum.js";
import type { OpRule } from "./rule.js";

/** y = min of x over axes (all where none are given). */
export const rule: OpRule<"ReduceMin"> = reduceExtremum("ReduceMin");
