import type { Value } from "../ir/graph.js";
import { ruleOf } from "../ops/builder.js";
import { operandsOf } from "../ops/wiring.js";
import type { RuleContext } from "../ops/rule.js";
import { Cotangents } from "./accumulate.js";
import { Ways, activeValues, refuseMissingRules } from "./active.js";

/**
 * Reverse mode: cotangents of `wrt`, given those of `outputs`, as new nodes in the builder that holds both. A null
 * cotangent is zero; a null result means that nothing depends on that value. The way back ends at `wrt`: one of them
 * that is computed from another is held. `taps` are values passed on the way whose cotangents are wanted too: they come
 * after those of `wrt`, and hold nothing.
 *
 * c̄ᵢ = Σ over uses of (∂use/∂i)ᵀ c̄; each operator's product is its rule's, sums and unbroadcasting are done here.
 * Throws a UserError that names every node without a rule.
 */
export function pullback(
  context: RuleContext,
  outputs: readonly Value[],
  cotangents: readonly (Value | null)[],
  wrt: readonly Value[],
  taps: readonly Value[] = [],
): (Value | null)[] {
  const { b } = context;
  const sources = new Set(wrt);
  const seeded = outputs.filter((_, i) => cotangents[i]);
  const ways = new Ways(b.graph.nodes, seeded, sources);
  const active = activeValues(ways, [...wrt, ...taps], "vjp");
  refuseMissingRules(ways, active);
  const sums = new Cotangents(b);
  outputs.forEach((o, i) => {
    const c = cotangents[i];
    if (c && active.has(o)) sums.add(o, c);
  });
  for (const node of [...ways.nodes].reverse()) {
    const rule = ruleOf(node)?.vjp;
    if (!rule || rule === "zero") continue;
    const received = node.outputs.map((o) => (o && active.has(o) && !sources.has(o) ? sums.get(o) : null));
    if (received.every((c) => c === null)) continue;
    const operands = operandsOf(node);
    const need = operands.map((v) => v !== null && active.has(v));
    if (!need.some(Boolean)) continue;
    const results = b.scope("backward", () => rule(context, node, received, need));
    operands.forEach((v, i) => {
      const c = results[i];
      if (v && c && need[i]) b.scope("backward", () => sums.add(v, c));
    });
  }
  return [...wrt, ...taps].map((v) => sums.get(v));
}
