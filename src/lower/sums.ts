import type { Graph, Value } from "../ir/graph.js";
import { Replacement, replace } from "./replacement.js";

/**
 * A sum over the first axes, two or more, as that over all of them but the first and then over the first, as gradients of biases
 * are. The kernel takes what lies in front as one axis, in one thread; from the second axis on each row is a task of its own.
 */
export function sumRowsFirst(graph: Graph): { modified: boolean } {
  return replace(graph, (node) => {
    const [x, given] = node.inputs;
    const axes = given && graph.constantOf(given)?.numbers();
    if (node.op !== "ReduceSum" || node.domain !== "" || !x || !axes || !leads(axes, x)) return null;
    const made = new Replacement(graph, node);
    const rows = made.op("ReduceSum", [x, made.int64s([...axes.keys()].slice(1))], node.attributes);
    made.op("ReduceSum", [rows, made.int64s([0])], node.attributes);
    return made.done();
  });
}

/** Whether the axes are the first ones of x, in their order, and others are left. */
function leads(axes: readonly number[], { shape }: Value): boolean {
  return axes.length > 1 && axes.length < (shape?.length ?? 0) && axes.every((axis, i) => axis === i);
}
