import type { Value } from "../../ir/graph.js";
import * as e from "../../ops/emit.js";
import { must } from "../../util/assert.js";
import { at, guardedRatio, mapParams, scaledNorm, sumOf, sumSquares } from "../arithmetic.js";
import type { Params, Perturbation, StepContext } from "../part.js";

/** Over which parameters a norm is taken. */
export type Scope = "global" | "group";

/** A direction u = factor·tensor; the factor is a scalar, or 1 where there is none. */
export interface Direction {
  tensor: Value;
  factor?: Value;
}

/** ‖u‖₂², a scalar. */
export function squaredLength({ b }: StepContext, { tensor, factor }: Direction): Value {
  const square = sumSquares(b, tensor);
  return factor ? e.mul(b, e.square(b, factor), square) : square;
}

/**
 * ε = ρ u / n with n² = Σ q over all parameters, or over those of the parameter's group; u: one tensor a parameter, q: one scalar
 * a parameter. ρ may differ between groups: with n² = Σ uᵀDu then Σₖ εₖᵀDₖεₖ/ρₖ² = 1, over all groups or in each.
 * n = 0 or overflowing gives ε = 0 (ours).
 */
export function perturbAlong(
  c: StepContext,
  w: Params,
  directions: ReadonlyMap<string, Direction>,
  squares: Params,
  scope: Scope,
): Perturbation {
  const { b, hyper, parameters } = c;
  const names = [...w.keys()];
  const groupOf = (name: string): string => at(parameters, name).group;
  const groups = [...new Set(names.map(groupOf))];
  const members = (group: string): string[] => names.filter((name) => groupOf(name) === group);
  const root = (terms: readonly Value[]): Value => e.sqrt(b, sumOf(b, terms));
  const scales = new Map(
    groups.map((group) => {
      const within = scope === "global" ? names : members(group);
      const norm = root(within.map((name) => at(squares, name)));
      return [group, guardedRatio(b, hyper("rho", members(group)[0]), norm)];
    }),
  );
  const perturbed = mapParams(w, (x, name) => {
    const { tensor, factor } = at(directions, name);
    const scale = at(scales, groupOf(name));
    return e.add(b, x, e.mul(b, factor ? e.mul(b, scale, factor) : scale, tensor));
  });
  // ‖ε‖₂ of each group without reading ε: its scale times the norm of its directions.
  const lengths = groups.map((group) => {
    const own = members(group).map((name) => squaredLength(c, at(directions, name)));
    return scaledNorm(b, at(scales, group), root(own));
  });
  const [only] = lengths;
  if (only && lengths.length === 1) return { perturbed, norm: only };
  return {
    perturbed,
    norm: root(lengths.map((x) => e.square(b, x))),
    diagnostics: new Map(groups.map((group, i) => [`perturbation_norm/${group}`, must(lengths[i], group)])),
  };
}
