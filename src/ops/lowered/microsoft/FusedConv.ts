import { ints, string } from "../../../ir/graph.js";
import { activate } from "../../activation.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";

/** y = f(conv(x, w) + bias + z). */
export const rule: LoweredRule<"FusedConv"> = composite({
  op: "FusedConv",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const fused = ["activation", "activation_params"];
    const attributes = Object.fromEntries(Object.entries(node.attributes).filter(([name]) => !fused.includes(name)));
    const conv = b.op("Conv", node.inputs.slice(0, 3), attributes, { types: [node.output().type] });
    const z = node.inputs[3];
    const given = node.attributes["activation_params"];
    const parameters = given?.type === "floats" ? given.value : [];
    return [activate(b, z ? e.add(b, conv, z) : conv, node.string("activation", ""), parameters, node.label)];
  },
  samples: [
    {
      inputs: [{ shape: [1, 2, 4] }, { shape: [3, 2, 3] }, { shape: [3] }],
      attributes: { activation: string("Sigmoid"), pads: ints([1, 1]) },
    },
    {
      name: "a sum, clipped",
      inputs: [{ shape: [1, 1, 3, 3] }, { shape: [1, 1, 2, 2] }, null, { shape: [1, 1, 2, 2] }],
      attributes: { activation: string("Clip"), activation_params: { type: "floats", value: [-0.5, 0.5] } },
    },
  ],
});
