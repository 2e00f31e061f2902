import { tensorType, Value, type Graph } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { reshapeTarget } from "../util/shape.js";

/**
 * Gives every Reshape whose types tell it a constant target. What exporters compute such targets by (Shape, Gather,
 * Concat, …) is then dead, unless something else reads it. Needs the types of a probed graph.
 */
export function staticReshapes(graph: Graph): { modified: boolean } {
  const constants = new Map<string, Value>();
  let modified = false;
  for (const node of graph.nodes) {
    const [x, shape] = node.inputs;
    const from = x?.shape;
    const to = node.outputs[0]?.shape;
    if (node.op !== "Reshape" || !from || !to || !shape || graph.initializers.has(shape)) continue;
    if (node.int("allowzero", 0) !== 0) continue;
    const target = reshapeTarget(from, to);
    if (!target) continue;
    const key = target.join(",");
    let constant = constants.get(key);
    if (!constant) {
      constant = new Value(`reshape_target::${key}`, tensorType("int64", [target.length]));
      constants.set(key, constant);
      graph.initializers.set(constant, Tensor.int64s(target));
    }
    node.inputs = [x, constant];
    modified = true;
  }
  return { modified };
}
