import { must } from "../util/assert.js";
import { activation } from "./activations.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import { layer, parts, type Layer } from "./recurrent.js";
import { recurrentSamples } from "./recurrentSamples.js";
import type { OpRule } from "./rule.js";

const step: Layer["step"] = (b, node, w, x, states) => {
  const n = w.hidden;
  const [h, c] = [must(states[0], "hidden state"), must(states[1], "cell state")];
  const [f, g, out] = [0, 1, 2].map((i) => activation(w.activations, i)) as [
    ReturnType<typeof activation>,
    ReturnType<typeof activation>,
    ReturnType<typeof activation>,
  ];
  const [i0, o0, f0, c0] = parts(b, e.add(b, x, e.matmul(b, h, w.recurrent)), 4, n) as [e.V, e.V, e.V, e.V];
  const peepholes = w.peepholes ? parts(b, w.peepholes, 3, n) : null;
  const look = (v: e.V, k: number, cell: e.V): e.V => {
    const p = peepholes?.[k];
    return p ? e.add(b, v, e.mul(b, p, cell)) : v;
  };
  const input = f(b, look(i0, 0, c));
  const isCoupled = node.int("input_forget", 0) !== 0;
  const forget = isCoupled ? e.sub(b, e.scalarLike(b, 1, input), input) : f(b, look(f0, 2, c));
  const cell = e.add(b, e.mul(b, forget, c), e.mul(b, input, g(b, c0)));
  return [e.mul(b, f(b, look(o0, 1, cell)), out(b, cell)), cell];
};

/** cₜ = f ⊙ cₜ₋₁ + i ⊙ g(…), hₜ = o ⊙ h(cₜ); gates in the order i, o, f, c, peepholes in the order i, o, f. */
export const rule: OpRule<"LSTM"> = composite({
  op: "LSTM",
  since: 14,
  expands: true,
  decompose: layer({
    gates: 4,
    activations: ["Sigmoid", "Tanh", "Tanh"],
    hasCell: true,
    merged: () => 4,
    step,
  }),
  samples: recurrentSamples(4),
});
