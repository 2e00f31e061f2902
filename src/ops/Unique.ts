import { int, tensorType } from "../ir/graph.js";
import { freshDim } from "../util/shape.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/**
 * y = the different elements (slices along an axis) of x; the indices are held. Of equal ones the first has the
 * derivative: a convention, PyTorch has none.
 */
export const rule: OpRule<"Unique"> = composite({
  op: "Unique",
  since: 11,
  decompose: (b, node) => {
    const [x, y] = [node.input(0), node.output()];
    const axis = node.int("axis");
    const vector = tensorType("int64", [y.dims[axis ?? 0] ?? freshDim()]);
    const found =
      node.outputs[1] ?? b.node("Unique", [x], node.attributes, {}, { outputs: 2, types: [y.type, vector] }).output(1);
    if (axis !== undefined) return [e.reshapeTo(b, e.gather(b, x, found, axis), e.shapeOf(b, y), y.type)];
    const flat = e.reshape(b, x, [-1]);
    return [e.reshapeTo(b, e.gather(b, flat, found, 0), e.shapeOf(b, y), y.type)];
  },
  samples: [
    { inputs: [{ shape: [2, 3], distinct: 0.01 }] },
    {
      name: "all outputs, in order of appearance",
      inputs: [{ shape: [5], distinct: 0.01 }],
      attributes: { sorted: int(0) },
      outputs: 4,
    },
    { name: "columns", inputs: [{ shape: [2, 3], distinct: 0.01 }], attributes: { axis: int(1) } },
  ],
});
