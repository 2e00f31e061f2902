import type { Graph, Model } from "../ir/graph.js";
import { isFloat } from "../util/dtype.js";
import { Names } from "./rewriter.js";

/**
 * Makes floating-point constants of bodies constants of the model's graph, in place, so that they can be parameters.
 * They get other names where theirs are not unique.
 */
export function liftConstants(model: Model): void {
  const names = new Names(model);
  const count = new Map<string, number>();
  for (const name of valueNames(model.graph)) count.set(name, (count.get(name) ?? 0) + 1);
  const lift = (graph: Graph): void => {
    for (const node of graph.nodes) {
      for (const body of node.graphs()) {
        lift(body);
        for (const [value, tensor] of body.initializers) {
          if (!isFloat(tensor.dtype) || body.outputs.includes(value)) continue;
          body.initializers.delete(value);
          const alike = count.get(value.name) ?? 1;
          if (alike > 1) {
            count.set(value.name, alike - 1);
            value.name = names.unique(value.name);
          }
          model.graph.initializers.set(value, tensor);
        }
      }
    }
  };
  lift(model.graph);
}

function* valueNames(graph: Graph): Generator<string> {
  for (const v of new Set([...graph.inputs, ...graph.initializers.keys()])) yield v.name;
  for (const node of graph.nodes) {
    for (const o of node.outputs) if (o) yield o.name;
    for (const body of node.graphs()) yield* valueNames(body);
  }
}
