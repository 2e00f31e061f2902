import { tensorType } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { must } from "../util/assert.js";
import { constantNumbers } from "./shapes.js";
import type { OpRule } from "./rule.js";

/** y = a tensor written in the node. */
export const rule: OpRule<"Constant"> = {
  op: "Constant",
  since: 21,
  vjp: "zero",
  jvp: "zero",
  infer: (node, constants) => {
    const tensor = node.tensor("value");
    if (tensor) return [tensorType(tensor.dtype, tensor.dims)];
    const numbers = must(constantNumbers(constants, node.output()), `${node.label}: a value`);
    const kind = Object.values(node.attributes)[0]?.type;
    return [
      tensorType(
        kind === "int" || kind === "ints" ? "int64" : "float32",
        kind === "int" || kind === "float" ? [] : [numbers.length],
      ),
    ];
  },
  samples: [{ inputs: [], attributes: { value: { type: "tensor", value: Tensor.of("float32", [2], [1, -2]) } } }],
};
