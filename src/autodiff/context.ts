import type { Graph } from "../ir/graph.js";
import type { RuleBuilder, RuleContext } from "../ops/rule.js";
import { UserError } from "../util/assert.js";

const unsupported = (g: Graph): never => {
  throw new UserError(`a derivative has to pass the body graph "${g.name}", and control flow has no rules yet`);
};

export const ruleContext = (b: RuleBuilder): RuleContext => ({ b, vjpGraph: unsupported, jvpGraph: unsupported });
