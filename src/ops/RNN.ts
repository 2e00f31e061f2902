import { activation } from "./activations.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import { layer } from "./recurrent.js";
import { recurrentSamples } from "./recurrentSamples.js";
import type { OpRule } from "./rule.js";

/** hₜ = f(xₜ Wᵀ + hₜ₋₁ Rᵀ + b). */
export const rule: OpRule<"RNN"> = composite({
  op: "RNN",
  since: 14,
  expands: true,
  decompose: layer({
    gates: 1,
    activations: ["Tanh"],
    hasCell: false,
    merged: () => 1,
    step: (b, _, w, x, [h]) => [activation(w.activations, 0)(b, h ? e.add(b, x, e.matmul(b, h, w.recurrent)) : x)],
  }),
  samples: recurrentSamples(1),
});
