import { tensorType, type Node, type Type, type Value } from "../ir/graph.js";
import { ruleOf } from "../ops/builder.js";
import { operandsOf } from "../ops/wiring.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder, RuleContext, Values } from "../ops/rule.js";
import { Ways, activeValues, refuseMissingRules } from "./active.js";

/**
 * Forward mode: tangents of `outputs`, given those of some values of the same builder. Zero tangents are null and never
 * materialised; a null result means that the output does not depend on the tangents' values. Values that are `held` have
 * no tangent beyond the one given.
 * Throws a UserError that names every node without a rule.
 */
export function pushforward(
  context: RuleContext,
  outputs: readonly (Value | null)[],
  tangents: ReadonlyMap<Value, Value>,
  held: Iterable<Value> = [],
): (Value | null)[] {
  const { b } = context;
  const sources = new Set([...tangents.keys(), ...held]);
  const ways = new Ways(
    b.graph.nodes,
    outputs.filter((o) => o !== null),
    sources,
  );
  const active = activeValues(ways, tangents.keys(), "jvp");
  refuseMissingRules(ways, active);
  const known = new Map(tangents);
  for (const node of ways.nodes) {
    const rule = ruleOf(node)?.jvp;
    if (!rule || rule === "zero") continue;
    if (node.outputs.every((o) => !o || !active.has(o) || sources.has(o))) continue;
    const given = operandsOf(node).map((v) => (v && known.get(v)) ?? null);
    if (given.every((t) => t === null)) continue;
    const results = b.scope("tangent", () => (rule === "linear" ? linear(b, node, given) : rule(context, node, given)));
    node.outputs.forEach((o, i) => {
      const t = results[i];
      if (o && t && active.has(o) && !sources.has(o)) known.set(o, t);
    });
  }
  return outputs.map((o) => (o && known.get(o)) ?? null);
}

/** The type of a tangent of `o`: that of a quantized number is a float. */
function tangentType(o: Value, x: Value, dx: Value): Type | null {
  return o.type?.kind === "tensor" && x.dtype !== dx.dtype ? tensorType(dx.dtype, o.shape) : o.type;
}

/** Σᵢ f(…, ẋᵢ, …): the tangent of a node that is linear in each input on its own. */
function linear(b: RuleBuilder, node: Node, tangents: Values): Values {
  const present = node.outputs.map((o) => o !== null);
  let sum: Values = node.outputs.map(() => null);
  tangents.forEach((t, i) => {
    if (!t) return;
    const inputs = node.inputs.map((v, j) => (i === j ? t : v));
    const types = node.outputs.map((o) => (o ? tangentType(o, node.input(i), t) : null));
    const term = b.emit(node.op, inputs, present, node.attributes, {}, { domain: node.domain, types });
    sum = sum.map((s, k) => {
      const o = term.outputs[k] ?? null;
      return s && o ? e.add(b, s, o) : (s ?? o);
    });
  });
  return sum;
}
