import { reduceExtremum } from "./reduceExtremum.js";
import type { OpRule } from "./rule.js";

/** y = max of x over axes (all where none are given). */
export const rule: OpRule<"ReduceMax"> = reduceExtremum("ReduceMax");
