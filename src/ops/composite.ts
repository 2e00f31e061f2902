import type { Value } from "../ir/graph.js";
import type { Decompose, JvpRule, LoweredRule, OpRule, VjpRule } from "./rule.js";
import { operandsOf } from "./wiring.js";

/** The rule of an operator that is given in terms of others: both modes pass through these. */
export const composite = <O extends string>(
  rule: Omit<OpRule<O>, "vjp" | "jvp"> & { decompose: Decompose },
): LoweredRule<O> & { vjp: VjpRule; jvp: JvpRule } => ({
  ...rule,
  vjp: (c, node, cotangents, need) => {
    const outputs: Value[] = [];
    const given: Value[] = [];
    rule.decompose(c.b, node).forEach((y, i) => {
      const dy = cotangents[i];
      if (!y || !dy) return;
      outputs.push(y);
      given.push(dy);
    });
    const operands = operandsOf(node);
    const wrt = [...new Set(operands.filter((v, i) => v !== null && need[i]))] as Value[];
    const results = new Map(c.vjp(outputs, given, wrt).map((dx, i) => [wrt[i], dx]));
    // A value that is read twice has one sum.
    return operands.map((v) => {
      const dx = v && results.get(v);
      if (v) results.delete(v);
      return dx ?? null;
    });
  },
  jvp: (c, node, tangents) => {
    const known = new Map<Value, Value>();
    // The decomposition may read the shape of the node's own outputs.
    const held = node.outputs.filter((v) => v !== null);
    operandsOf(node).forEach((v, i) => {
      const dx = tangents[i];
      if (!v) return;
      if (dx) known.set(v, dx);
      else held.push(v);
    });
    return c.jvp(rule.decompose(c.b, node), known, held);
  },
});
