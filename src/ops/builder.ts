import { Builder, type Infer } from "../ir/builder.js";
import type { Node } from "../ir/graph.js";
import { invariant } from "../util/assert.js";
import { rules } from "./index.js";
import type { OpName } from "./names.js";
import type { OpRule, RuleBuilder } from "./rule.js";

/** The rule of a node's operator, or undefined. */
export function ruleOf(node: Node): OpRule | undefined {
  if (node.domain !== "" && node.domain !== "ai.onnx") return undefined;
  return Object.hasOwn(rules, node.op) ? rules[node.op as OpName] : undefined;
}

const infer: Infer = (node, constants) => {
  const rule = ruleOf(node)?.infer;
  invariant(rule, `${node.label}: no inference rule, and no types given`);
  return rule(node, constants);
};

/** A builder whose emitted nodes are typed by the operators' own inference rules. */
export const newBuilder = (name: string): RuleBuilder => new Builder<OpName>(name, infer);
