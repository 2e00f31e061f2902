import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { like } from "./types.js";

/** y = tanh x, y′ = 1 − y². */
export const rule: OpRule<"Tanh"> = {
  op: "Tanh",
  since: 13,
  vjp: ({ b }, node, [dy]) => [dy ? e.mul(b, dy, derivative(b, node.output())) : null],
  jvp: ({ b }, node, [dx]) => [dx ? e.mul(b, dx, derivative(b, node.output())) : null],
  infer: like(),
  samples: [{ inputs: [{ shape: [2, 3] }] }, { inputs: [{ shape: [] }] }],
};

const derivative: (b: e.B, y: e.V) => e.V = (b, y) => e.sub(b, e.scalarLike(b, 1, y), e.mul(b, y, y));
