import type { Value } from "../ir/graph.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { jvp } from "./forward.js";
import { vjp } from "./reverse.js";

type Vector = readonly (Value | null)[];

/** ∇L of a scalar `loss`, as new nodes; null where the loss does not depend on a parameter. */
export function gradient(b: RuleBuilder, loss: Value, params: readonly Value[]): (Value | null)[] {
  return vjp(b, [loss], [e.scalarLike(b, 1, loss)], params);
}

/**
 * H v = d/dr ∇L(w + r v) at r = 0, forward over reverse: the tangent of `grads`, which must be gradients in the same
 * builder. Every primal and cotangent is shared with them (Pearlmutter 1994).
 */
export function hvpOfGradient(
  b: RuleBuilder,
  grads: Vector,
  params: readonly Value[],
  probe: Vector,
): (Value | null)[] {
  const tangents = new Map<Value, Value>();
  params.forEach((p, i) => {
    const v = probe[i];
    if (v) tangents.set(p, v);
  });
  return jvp(b, grads, tangents);
}

/** H v by reverse over reverse, ∇⟨∇L, v⟩: the cross-check of `hvpOfGradient`. */
export function hvpReverse(b: RuleBuilder, grads: Vector, params: readonly Value[], probe: Vector): (Value | null)[] {
  const outputs: Value[] = [];
  const cotangents: Value[] = [];
  grads.forEach((g, i) => {
    const v = probe[i];
    if (!g || !v) return;
    outputs.push(g);
    cotangents.push(v);
  });
  return vjp(b, outputs, cotangents, params);
}
