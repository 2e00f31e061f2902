import { instantiate } from "../ir/copy.js";
import { sweep } from "../ir/edit.js";
import type { Graph, Node, Type, Value } from "../ir/graph.js";
import { ifSamples } from "./ifSamples.js";
import { zerosLike } from "./iteration.js";
import { refuseRandom } from "./replay.js";
import type { OpRule, RuleContext, Values } from "./rule.js";
import { operandsOf } from "./wiring.js";

/** What a branch gives: null stands for zeros like the value beside it. */
type Given = readonly { value: Value | null; like: Value }[];

/**
 * Emits an If on the condition of `node`; `make` gives the values of each branch, in a builder of its own. Null where
 * all branches give zeros; `types` are those of the results.
 */
function emitIf(
  c: RuleContext,
  node: Node,
  types: readonly (Type | null)[],
  make: (inner: RuleContext, body: Graph) => Given,
): Values {
  const { b } = c;
  const branches = Object.entries(node.bodies).map(([name, body]) => {
    refuseRandom(b, node, body);
    const inner = c.within(b.body(name));
    return { name, inner, given: make(inner, body) };
  });
  const present = [...types.keys()].filter((k) => branches.some(({ given }) => given[k]?.value));
  if (present.length === 0) return types.map(() => null);
  const bodies: Record<string, Graph> = {};
  for (const { name, inner, given } of branches) {
    const values = present.flatMap((k) => {
      const g = given[k];
      return g ? [g.value ?? zerosLike(inner.b, g.like)] : [];
    });
    sweep((bodies[name] = inner.b.returns(values)));
  }
  const options = { outputs: present.length, types: present.map((k) => types[k] ?? null) };
  const made = b.node("If", [node.input(0)], {}, bodies, options);
  return types.map((_, k) => (present.includes(k) ? made.output(present.indexOf(k)) : null));
}

/**
 * The outputs of one of two branches, by a condition; the condition has no derivative. Both modes are an If whose
 * branches compute the branch again and its derivative.
 */
export const rule: OpRule<"If"> = {
  op: "If",
  since: 21,
  vjp: (c, node, cotangents, need) => {
    const operands = operandsOf(node);
    const captures = operands.flatMap((v, i) => (v && i > 0 && need[i] ? [v] : []));
    const seeded = [...node.outputs.keys()].filter((k) => cotangents[k]);
    const types = captures.map((v) => v.type);
    const results = emitIf(c, node, types, (inner, body) => {
      const outputs = body.outputs.filter((_, k) => seeded.includes(k));
      const primal = instantiate(inner.b, body, new Map(), outputs);
      const ends = outputs.map((o) => primal.get(o) ?? o);
      const grads = inner.vjp(
        ends,
        seeded.map((k) => cotangents[k] ?? null),
        captures,
      );
      return captures.map((like, i) => ({ value: grads[i] ?? null, like }));
    });
    return operands.map((v) => (v && captures.includes(v) ? (results[captures.indexOf(v)] ?? null) : null));
  },
  jvp: (c, node, tangents) => {
    const known = new Map<Value, Value>();
    operandsOf(node).forEach((v, i) => {
      const t = tangents[i];
      if (v && t) known.set(v, t);
    });
    const types = node.outputs.map((o) => o?.type ?? null);
    return emitIf(c, node, types, (inner, body) => {
      const primal = instantiate(inner.b, body, new Map(), body.outputs);
      const ends = body.outputs.map((o) => primal.get(o) ?? o);
      const given = inner.jvp(ends, known, []);
      return ends.map((like, k) => ({ value: given[k] ?? null, like }));
    });
  },
  samples: ifSamples,
};
