import type { Value } from "../ir/graph.js";
import type { RuleBuilder } from "../ops/rule.js";
import { ruleContext } from "./context.js";
import { pullback } from "./pullback.js";

/** Reverse mode in the builder `b`: `pullback` with every rule at hand. */
export const vjp = (
  b: RuleBuilder,
  outputs: readonly Value[],
  cotangents: readonly (Value | null)[],
  wrt: readonly Value[],
  taps: readonly Value[] = [],
): (Value | null)[] => pullback(ruleContext(b), outputs, cotangents, wrt, taps);
