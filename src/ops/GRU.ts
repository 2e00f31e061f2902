import { must } from "../util/assert.js";
import { activation } from "./activations.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import { layer, parts, type Layer } from "./recurrent.js";
import { recurrentSamples } from "./recurrentSamples.js";
import type { OpRule } from "./rule.js";

const linearFirst = (node: { int(name: string, fallback: number): number }): boolean =>
  node.int("linear_before_reset", 0) !== 0;

/** z, r = f(…); h̃ = g(xₜ Wₕᵀ + (r ⊙ hₜ₋₁) Rₕᵀ), or g(xₜ Wₕᵀ + r ⊙ (hₜ₋₁ Rₕᵀ + b)) with `linear_before_reset`. */
const step: Layer["step"] = (b, node, w, x, states) => {
  const n = w.hidden;
  const h = must(states[0], "hidden state");
  const [f, g] = [activation(w.activations, 0), activation(w.activations, 1)];
  const [xz, xr, xh] = parts(b, x, 3, n) as [e.V, e.V, e.V];
  const gate = (own: e.V, other: e.V): e.V => f(b, e.add(b, own, other));
  let candidate: e.V;
  let z: e.V;
  if (linearFirst(node)) {
    const products = e.matmul(b, h, w.recurrent);
    const [hz, hr, hh] = parts(b, products, 3, n) as [e.V, e.V, e.V];
    z = gate(xz, hz);
    const bias = w.recurrentBias && parts(b, w.recurrentBias, 3, n)[2];
    candidate = e.add(b, xh, e.mul(b, gate(xr, hr), bias ? e.add(b, hh, bias) : hh));
  } else {
    const [rz, rr, rh] = parts(b, w.recurrent, 3, n) as [e.V, e.V, e.V];
    z = gate(xz, e.matmul(b, h, rz));
    const r = gate(xr, e.matmul(b, h, rr));
    candidate = e.add(b, xh, e.matmul(b, e.mul(b, r, h), rh));
  }
  // (1 − z) h̃ + z h
  const made = g(b, candidate);
  return [e.add(b, made, e.mul(b, z, e.sub(b, h, made)))];
};

/** hₜ = (1 − z) ⊙ h̃ + z ⊙ hₜ₋₁, with the gates z (update) and r (reset). */
export const rule: OpRule<"GRU"> = composite({
  op: "GRU",
  since: 14,
  expands: true,
  decompose: layer({
    gates: 3,
    activations: ["Sigmoid", "Tanh"],
    hasCell: false,
    merged: (node) => (linearFirst(node) ? 2 : 3),
    step,
  }),
  samples: recurrentSamples(3),
});
