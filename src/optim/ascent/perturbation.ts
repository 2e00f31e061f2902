import type { Value } from "../../ir/graph.js";
import * as e from "../../ops/emit.js";
import { at, guardedRatio, mapParams, scaledNorm, sumOf, sumSquares } from "../arithmetic.js";
import type { Params, Perturbation, StepContext } from "../part.js";

/** Over which parameters a norm is taken. */
export type Scope = "global" | "group";

/** A direction u = factor·tensor; the factor is a scalar, or 1 where there is none. */
export interface Direction {
  tensor: Value;
  factor?: Value;
}

/**
 * ε = ρ u / n with n² = Σ q over all parameters, or over those of the parameter's group; u: one tensor a parameter, q: one scalar
 * a parameter. ρ may differ between groups: with n² = Σ uᵀDu then Σₖ εₖᵀDₖεₖ/ρₖ² = 1, over all groups or in each.
 * n = 0 or overflowing gives ε = 0 (ours).
 */
export function perturbAlong(
  { b, hyper, parameters }: StepContext,
  w: Params,
  directions: ReadonlyMap<string, Direction>,
  squares: Params,
  scope: Scope,
): Perturbation {
  const groupOf = (name: string): string => parameters.get(name)?.group ?? "";
  const norms = new Map<string, Value>();
  const normFor = (name: string): Value => {
    const key = scope === "global" ? "" : groupOf(name);
    let norm = norms.get(key);
    if (!norm) {
      const terms = [...squares].filter(([n]) => scope === "global" || groupOf(n) === key).map(([, q]) => q);
      norms.set(key, (norm = e.sqrt(b, sumOf(b, terms))));
    }
    return norm;
  };
  const scaleFor = (name: string): Value => guardedRatio(b, hyper("rho", name), normFor(name));
  const perturbed = mapParams(w, (x, name) => {
    const { tensor, factor } = at(directions, name);
    const scale = scaleFor(name);
    return e.add(b, x, e.mul(b, factor ? e.mul(b, scale, factor) : scale, tensor));
  });
  return { perturbed, ...lengths() };

  /** ‖ε‖₂, of all parameters and of each group, without reading ε: scales times norms of directions. */
  function lengths(): Pick<Perturbation, "norm" | "diagnostics"> {
    const groups = [...new Set([...w.keys()].map(groupOf))];
    const parts = groups.map((group) => {
      const byScale = new Map<Value, Value[]>();
      for (const name of w.keys()) {
        if (groupOf(name) !== group) continue;
        const { tensor, factor } = at(directions, name);
        const own = sumSquares(b, tensor);
        const scale = scaleFor(name);
        byScale.set(scale, [...(byScale.get(scale) ?? []), factor ? e.mul(b, e.square(b, factor), own) : own]);
      }
      return { group, byScale };
    });
    const norm = (byScale: ReadonlyMap<Value, readonly Value[]>): Value => {
      const terms = [...byScale].map(([scale, squared]) => scaledNorm(b, scale, e.sqrt(b, sumOf(b, squared))));
      const [only] = terms;
      if (only && terms.length === 1) return only;
      return e.sqrt(
        b,
        sumOf(
          b,
          terms.map((x) => e.square(b, x)),
        ),
      );
    };
    const all = new Map<Value, Value[]>();
    for (const { byScale } of parts) {
      for (const [scale, squared] of byScale) all.set(scale, [...(all.get(scale) ?? []), ...squared]);
    }
    const diagnostics = new Map(
      groups.length > 1 ? parts.map((p) => [`perturbation_norm/${p.group}`, norm(p.byScale)] as const) : [],
    );
    return { norm: norm(all), diagnostics };
  }
}
