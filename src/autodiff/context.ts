import type { RuleBuilder, RuleContext } from "../ops/rule.js";
import { Ways, activeValues } from "./active.js";
import { pullback } from "./pullback.js";
import { pushforward } from "./pushforward.js";

/** What rules work with in the builder `b`: both modes, over nodes that they emitted themselves. */
export function ruleContext(b: RuleBuilder): RuleContext {
  const context: RuleContext = {
    b,
    vjp: (outputs, cotangents, wrt) => pullback(context, outputs, cotangents, wrt),
    jvp: (outputs, tangents, held) => pushforward(context, outputs, tangents, held),
    within: ruleContext,
    flow: (node, operands, outputs, mode) => {
      const ways = new Ways([node], outputs);
      return { active: activeValues(ways, operands, mode), reached: ways.reached };
    },
  };
  return context;
}
