import { Node, type Graph, type Model, type Value } from "../ir/graph.js";
import { loweredRuleOf, newBuilder } from "../ops/builder.js";
import type { RuleBuilder, Values } from "../ops/rule.js";
import { check } from "../util/assert.js";
import { graphsWithin } from "./pass.js";

/** The opset at which all that is left has a form. */
const working = 21;

/**
 * Replaces every node whose operator has no derivative of its own but is given in terms of others (Attention, FusedMatMul,
 * …) by these, in graphs within too; the model is then of opset 21. Needs types. Throws a UserError that names a node in
 * a form that has no such terms.
 */
export function decompose(model: Model): { modified: boolean } {
  let modified = false;
  const foreign = new Set<string>();
  for (const graph of graphsWithin(model.graph)) {
    if (graph.nodes.some(loweredRuleOf)) {
      new Decomposition(model.graph, graph).run();
      modified = true;
    }
    for (const node of graph.nodes) foreign.add(node.domain);
  }
  if (!modified) return { modified };
  for (const domain of [...model.opsets.keys()]) if (domain !== "" && !foreign.has(domain)) model.opsets.delete(domain);
  model.opsets.set("", working);
  return { modified };
}

class Decomposition {
  private readonly b: RuleBuilder = newBuilder("decomposition");

  constructor(
    whole: Graph,
    private readonly graph: Graph,
  ) {
    for (const g of graphsWithin(whole)) {
      for (const v of [...g.inputs, ...g.initializers.keys(), ...g.nodes.flatMap((n) => n.outputs)])
        if (v) this.b.unique(v.name);
      for (const n of g.nodes) this.b.unique(n.name);
    }
  }

  run(): void {
    const { b, graph } = this;
    // The builder reads the constants of the graph: axes, shapes, modes.
    for (const [v, t] of graph.initializers) b.graph.initializers.set(v, t);
    graph.nodes = graph.nodes.flatMap((node) => {
      const rule = loweredRuleOf(node);
      if (!rule) return [node];
      const emitted = b.graph.nodes.length;
      const results = b.scope(node.name || node.op, () => rule.decompose(b, node));
      const nodes = b.graph.nodes.slice(emitted);
      for (const n of nodes) n.metadata = node.metadata;
      return [...nodes, ...this.outputs(node, results)];
    });
    for (const [v, t] of b.graph.initializers) graph.initializers.set(v, t);
  }

  /** The outputs of the node keep their names. */
  private outputs(node: Node, results: Values): Node[] {
    return node.outputs.flatMap((o, i) => {
      if (!o) return [];
      const y: Value | null | undefined = results[i];
      check(y, () => `${node.label}: its output ${i} has no form in terms of other operators`);
      return [new Node("Identity", [y], [o], {}, {}, "", this.b.unique(`${node.name || node.op}/Identity`))];
    });
  }
}
