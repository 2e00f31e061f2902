import type { Node, Value } from "../ir/graph.js";
import { ruleOf } from "../ops/builder.js";
import { UserError } from "../util/assert.js";
import { isFloat } from "../util/dtype.js";

export type Mode = "vjp" | "jvp";

export const carriesDerivatives = (v: Value): boolean => v.type?.kind === "tensor" && isFloat(v.type.dtype);

/** Nodes that `outputs` depend on, in the order of `nodes`; the way back ends at `stop`. */
export function ancestors(nodes: readonly Node[], outputs: Iterable<Value>, stop?: ReadonlySet<Value>): Node[] {
  const wanted = new Set<Node>();
  const stack = [...outputs];
  for (let v = stack.pop(); v; v = stack.pop()) {
    const node = v.producer;
    if (!node || wanted.has(node) || stop?.has(v)) continue;
    wanted.add(node);
    stack.push(...node.reads());
  }
  return nodes.filter((n) => wanted.has(n));
}

/** Values among the outputs of `nodes` (topological order) that a change of `sources` can change differentiably. */
export function activeValues(nodes: readonly Node[], sources: Iterable<Value>, mode: Mode): Set<Value> {
  const active = new Set<Value>(sources);
  for (const node of nodes) {
    if (ruleOf(node)?.[mode] === "zero") continue;
    let reads = false;
    for (const v of node.reads()) reads ||= active.has(v);
    if (reads) for (const o of node.outputs) if (o && carriesDerivatives(o)) active.add(o);
  }
  return active;
}

/** Nodes without a derivative rule though a derivative has to pass them. */
export function missingRules(nodes: readonly Node[], active: ReadonlySet<Value>): Node[] {
  return nodes.filter((n) => !ruleOf(n) && n.outputs.some((o) => o && active.has(o)));
}

/** Throws one error that lists every node without a rule. */
export function refuseMissingRules(nodes: readonly Node[], active: ReadonlySet<Value>): void {
  const missing = missingRules(nodes, active);
  if (missing.length === 0) return;
  const shown = missing.slice(0, 20).map((n) => n.label);
  const more = missing.length > shown.length ? `, and ${missing.length - shown.length} more` : "";
  throw new UserError(
    `no derivative rule for ${missing.length} node(s) between the parameters and the loss: ${shown.join(", ")}${more}; ` +
      `freeze the parameters before them, or replace these operators`,
  );
}
