import { Builder, type Infer } from "../ir/builder.js";
import type { Node } from "../ir/graph.js";
import { invariant } from "../util/assert.js";
import { rules } from "./index.js";
import { lowered } from "./lowered/index.js";
import type { OpName } from "./names.js";
import type { LoweredRule, OpRule, RuleBuilder } from "./rule.js";

/** The rule of a node's operator, or undefined. */
export function ruleOf(node: Node): OpRule | undefined {
  if (inDefaultDomain(node) && Object.hasOwn(rules, node.op)) return rules[node.op as OpName];
  return loweredRuleOf(node);
}

/** The rule of an operator that is replaced before it is differentiated, or undefined. */
export function loweredRuleOf(node: Node): LoweredRule | undefined {
  const key = inDefaultDomain(node) ? node.op : `${node.domain}::${node.op}`;
  return Object.hasOwn(lowered, key) ? lowered[key] : undefined;
}

const inDefaultDomain = (node: Node): boolean => node.domain === "" || node.domain === "ai.onnx";

const infer: Infer = (node, constants) => {
  const rule = ruleOf(node)?.infer;
  invariant(rule, `${node.label}: no inference rule, and no types given`);
  return rule(node, constants);
};

/** A builder whose emitted nodes are typed by the operators' own inference rules. */
export const newBuilder = (name: string): RuleBuilder => new Builder<OpName>(name, infer);
