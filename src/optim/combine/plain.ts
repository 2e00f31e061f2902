import { z } from "zod";
import { emptyState, noState, type Combine } from "../part.js";

const options = z.object({});

/** The descent gradient is the second one alone: ∇L(w + ε). */
export const plain: Combine<typeof options> = {
  name: "plain",
  summary: "descend along the gradient at the perturbed point",
  reference: "Foret et al. 2021, Sharpness-Aware Minimization for Efficiently Improving Generalization",
  options,
  hyper: () => [],
  state: () => noState,
  combine: (_, __, ___, second) => ({ descent: second, state: emptyState }),
};
