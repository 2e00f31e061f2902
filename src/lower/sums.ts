import { Node, Value, tensorType, type Graph } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";

/**
 * A sum over the first axes, two or more, as that over all of them but the first and then over the first, as gradients of biases
 * are. The kernel takes what lies in front as one axis, in one thread; from the second axis on each row is a task of its own.
 */
export function sumRowsFirst(graph: Graph): { modified: boolean } {
  let modified = false;
  graph.nodes = graph.nodes.flatMap((node) => {
    const [x, given] = node.inputs;
    const axes = given && graph.constantOf(given)?.numbers();
    if (node.op !== "ReduceSum" || node.domain !== "" || !x || !axes || !leads(axes, x)) return [node];
    modified = true;
    const constant = (name: string, values: readonly number[]): Value => {
      const value = new Value(`${node.name}/${name}`, tensorType("int64", [values.length]));
      graph.initializers.set(value, Tensor.int64s(values));
      return value;
    };
    const rows = new Value(`${node.name}/rows`, null);
    const later = constant("later_axes", [...axes.keys()].slice(1));
    const sum = (inputs: Value[], outputs: Node["outputs"], name: string): Node =>
      new Node("ReduceSum", inputs, outputs, node.attributes, {}, "", name);
    return [sum([x, later], [rows], rows.name), sum([rows, constant("first_axis", [0])], node.outputs, node.name)];
  });
  return { modified };
}

/** Whether the axes are the first ones of x, in their order, and others are left. */
function leads(axes: readonly number[], { shape }: Value): boolean {
  return axes.length > 1 && axes.length < (shape?.length ?? 0) && axes.every((axis, i) => axis === i);
}
