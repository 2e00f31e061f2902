import type { Node } from "../ir/graph.js";
import { check } from "../util/assert.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { constantScalar } from "./shapes.js";

/** d, or d·mask/(1 − ratio) in training mode. */
function apply(b: e.B, node: Node, d: e.V | null | undefined): e.V | null {
  if (!d) return null;
  const training = node.inputs[2] ? constantScalar(b, node.inputs[2]) : 0;
  if (training === 0) return d;
  const mask = node.outputs[1];
  check(
    training !== undefined && mask,
    () =>
      `${node.label}: a Dropout in training mode has a derivative only if its mask is an output and its mode a constant`,
  );
  const ratio = node.inputs[1] ?? e.scalarLike(b, 0.5, d);
  const kept = e.sub(b, e.scalarLike(b, 1, d), e.cast(b, ratio, d.dtype));
  return e.mul(b, d, e.div(b, e.cast(b, mask, d.dtype), kept));
}

/** y = x in evaluation mode; x·mask/(1 − ratio) in training mode, the mask held. */
export const rule: OpRule<"Dropout"> = {
  op: "Dropout",
  since: 13,
  vjp: ({ b }, node, [dy]) => [apply(b, node, dy), null, null],
  jvp: ({ b }, node, [dx]) => [apply(b, node, dx), null],
  samples: [
    { inputs: [{ shape: [2, 3] }] },
    {
      name: "ratio and mode",
      inputs: [
        { shape: [2, 3] },
        { shape: [], values: [0.3], constant: true },
        { shape: [], dtype: "bool", values: [0], constant: true },
      ],
    },
  ],
};
