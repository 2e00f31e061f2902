import type { Graph } from "../ir/graph.js";
import type { RuleBuilder, RuleContext } from "../ops/rule.js";
import { UserError } from "../util/assert.js";
import { pullback } from "./pullback.js";
import { pushforward } from "./pushforward.js";

const unsupported = (g: Graph): never => {
  throw new UserError(`a derivative has to pass the body graph "${g.name}", and control flow has no rules yet`);
};

/** What rules work with in the builder `b`: both modes, over nodes that they emitted themselves. */
export function ruleContext(b: RuleBuilder): RuleContext {
  const context: RuleContext = {
    b,
    vjp: (outputs, cotangents, wrt) => pullback(context, outputs, cotangents, wrt),
    jvp: (outputs, tangents, held) => pushforward(context, outputs, tangents, held),
    vjpGraph: unsupported,
    jvpGraph: unsupported,
  };
  return context;
}
