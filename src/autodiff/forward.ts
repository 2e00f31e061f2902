import type { Value } from "../ir/graph.js";
import type { RuleBuilder } from "../ops/rule.js";
import { ruleContext } from "./context.js";
import { pushforward } from "./pushforward.js";

/** Forward mode in the builder `b`: `pushforward` with every rule at hand. */
export const jvp = (
  b: RuleBuilder,
  outputs: readonly (Value | null)[],
  tangents: ReadonlyMap<Value, Value>,
): (Value | null)[] => pushforward(ruleContext(b), outputs, tangents);
