import * as e from "../ops/emit.js";
import { numbered, productsOf } from "./hvp.js";
import type { Measure } from "./measure.js";
import { at, globalNorm, mapParams } from "./params.js";

/** Step relative to the weights: in float32 the errors of truncation and of rounding are then alike. */
const relativeStep = 1e-3;

/**
 * Hz ≈ (∇L(w + r z) − ∇L(w)) / r with r = 10⁻³ ‖w‖/‖z‖ (10⁻³/‖z‖ at w = 0), for each of `probes` draws of z. Kinds: z and hvp,
 * numbered; `share`: the fraction of the batch's rows that both gradients are of.
 */
export function finiteDifferenceMeasure(distribution: "normal" | "rademacher", probes = 1, share = 1): Measure {
  const all = [...Array(probes).keys()];
  return {
    ...productsOf(all, distribution),
    emit: (c) => {
      const { b, w } = c;
      const here = c.rows(share);
      const g = here.at.grads();
      const length = globalNorm(b, w);
      const size = e.where(b, e.isPositive(b, length), length, e.scalarLike(b, 1, length));
      return new Map(
        all.map((k) => {
          const z = c.probe(numbered("z", k));
          const r = e.div(b, e.scale(b, size, relativeStep), globalNorm(b, z));
          const moved = here.elsewhere(mapParams(w, (x, name) => e.add(b, x, e.mul(b, r, at(z, name)))));
          const inverse = e.reciprocal(b, r);
          const there = moved.grads();
          return [numbered("hvp", k), mapParams(there, (x, name) => e.mul(b, e.sub(b, x, at(g, name)), inverse))];
        }),
      );
    },
  };
}
