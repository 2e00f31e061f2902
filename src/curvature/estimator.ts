import type { Value } from "../ir/graph.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { finiteDifferenceMeasure } from "./finite_difference.js";
import { gnbMeasure } from "./gnb.js";
import { hvpMeasure, numbered } from "./hvp.js";
import type { Measure, Measured, Params } from "./measure.js";
import { at, countAll, globalNorm, mapParams, sumOver, sumSquares } from "./params.js";

/** An estimate of the curvature of every element, and what has to be measured for it. */
export interface Estimator {
  name: EstimatorName;
  measure?: Measure;
  /** It reads both gradients of a step, and serves the next one. */
  after?: true;
  estimate(b: RuleBuilder, m: Measured): Estimate;
}

/** An estimate ≥ 0 of every element: `scale` times the values; 1 where there is none. */
export interface Estimate {
  values: Params;
  scale?: Value;
}

export const estimatorNames = [
  "hvp",
  "finite-difference",
  "gnb",
  "gauss-newton",
  "empirical",
  "secant",
  "secant-gradient",
] as const;
export type EstimatorName = (typeof estimatorNames)[number];

export interface EstimatorOptions {
  probe: "normal" | "rademacher";
  /** Probes in a refresh. */
  probes: number;
  /** Fraction q of the batch's rows that it is measured on. */
  share: number;
}

/** The estimator of that name. `hvp` and `finite-difference` estimate |z ⊙ Hz|, several probes averaged before |·|. */
export function estimator(name: EstimatorName, { probe, probes, share }: EstimatorOptions): Estimator {
  switch (name) {
    case "hvp":
      return { name, measure: hvpMeasure(probe, probes, share), estimate: hutchinson(probes) };
    case "finite-difference":
      return { name, measure: finiteDifferenceMeasure(probe, probes, share), estimate: hutchinson(probes) };
    case "gnb":
    case "gauss-newton": {
      const measure = gnbMeasure(name === "gnb" ? "labels" : "signs", share);
      return { name, measure, estimate: (b, m) => squares(b, m.weight(), m.value("sampled_grad")) };
    }
    case "empirical":
      return { name, estimate: (b, m) => squares(b, m.weight(), m.gradient()) };
    case "secant":
      return { name, after: true, estimate: secant };
    case "secant-gradient":
      return { name, after: true, estimate: secantGradient };
  }
}

/** Gradient evaluations of a refresh, beside the gradient of the step; on part of the batch the primal is its own. */
export function estimatorCost(name: EstimatorName, { probes, share }: EstimatorOptions): number {
  const whole = share === 1;
  switch (name) {
    case "hvp":
      return whole ? 2 * probes : share * (1 + 2 * probes);
    case "finite-difference":
      return whole ? probes : share * (1 + probes);
    case "gnb":
    case "gauss-newton":
      return whole ? 2 / 3 : share;
    default:
      return 0;
  }
}

/** z ⊙ Hz averaged over the probes: unbiased for diag H (Bekas et al. 2007), with its sign. */
export function signedHutchinson(b: RuleBuilder, m: Measured, probes: number): Params {
  const products = [...Array(probes).keys()].map((k) => {
    const hz = m.value(numbered("hvp", k));
    return mapParams(m.probe(numbered("z", k)), (z, name) => e.mul(b, z, at(hz, name)));
  });
  const [first, ...rest] = products as [Map<string, Value>, ...Map<string, Value>[]];
  if (rest.length === 0) return first;
  return mapParams(first, (x, name) =>
    e.scale(
      b,
      rest.reduce((sum, more) => e.add(b, sum, at(more, name)), x),
      1 / probes,
    ),
  );
}

const hutchinson =
  (probes: number) =>
  (b: RuleBuilder, m: Measured): Estimate => ({
    values: mapParams(signedHutchinson(b, m, probes), (x) => e.abs(b, x)),
  });

/** N g ⊙ g, N the weight of the loss. */
const squares = (b: RuleBuilder, weight: Value, g: Params): Estimate => ({
  values: mapParams(g, (x) => e.square(b, x)),
  scale: weight,
});

/** |Δg ⊙ ε| / (ε² + κ²), Δg = ∇L(w + ε) − ∇L(w), κ = 3‖ε‖₂/√p: a secant along ε, damped where ε is small. */
function secant(b: RuleBuilder, m: Measured): Estimate {
  const g = m.gradient();
  const { w, perturbed, gradient } = m.second();
  const epsilon = mapParams(perturbed, (x, name) => e.sub(b, x, at(w, name)));
  const damping = e.scale(
    b,
    sumOver(b, epsilon, (x) => sumSquares(b, x)),
    9 / countAll(w),
  );
  const values = mapParams(epsilon, (x, name) =>
    e.abs(b, e.div(b, e.mul(b, e.sub(b, at(gradient, name), at(g, name)), x), e.add(b, e.mul(b, x, x), damping))),
  );
  return { values };
}

/** p |g ⊙ Δg| / (‖g‖ ‖ε‖): the secant with ε taken to point along g. */
function secantGradient(b: RuleBuilder, m: Measured): Estimate {
  const g = m.gradient();
  const { w, perturbed, gradient } = m.second();
  const epsilon = mapParams(perturbed, (x, name) => e.sub(b, x, at(w, name)));
  const scale = e.div(b, e.scalarLike(b, countAll(w), m.weight()), e.mul(b, globalNorm(b, g), globalNorm(b, epsilon)));
  const values = mapParams(g, (x, name) => e.abs(b, e.mul(b, x, e.sub(b, at(gradient, name), x))));
  return { values, scale };
}
