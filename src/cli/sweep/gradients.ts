import { estimatorCost, estimatorNames, type EstimatorName } from "../../curvature/estimator.js";
import { phasesOf, type Manifest } from "../../format/manifest.js";

/**
 * Gradient evaluations on the step's batch that a step of `variant` takes: one for each pass over the batch, and what the estimator
 * of the curvature takes beside (two for a Hessian-vector product).
 */
export function gradientsOfStep(manifest: Manifest, variant: string): number {
  const { ascent, base, parts } = manifest.optimizer;
  return phasesOf(manifest, variant)
    .filter(({ batch }) => batch)
    .map(({ graph }) => {
      if (graph === "gradient") return 1;
      const part = parts?.[graph.startsWith("base_") ? base : ascent];
      const { probes = 1, share = 1, estimator } = part ?? {};
      return 1 + estimatorCost(nameOf(estimator), { probe: "normal", probes: Number(probes), share: Number(share) });
    })
    .reduce((sum, each) => sum + each, 0);
}

/** Bases that measure without saying how take Hessian-vector products. */
const nameOf = (name: unknown): EstimatorName => estimatorNames.find((each) => each === name) ?? "hvp";
