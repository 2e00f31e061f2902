import type { Measure } from "./measure.js";

/** The k-th of several probes and its HVP: z, hvp; z_2, hvp_2; … */
export const numbered = (kind: string, k: number): string => (k === 0 ? kind : `${kind}_${k + 1}`);

/** What every measure of Hz for the draws `all` has in common: its probes, and what it gives. */
export const productsOf = (
  all: readonly number[],
  distribution: "normal" | "rademacher",
): Pick<Measure, "graph" | "probes" | "gives"> => ({
  graph: "hvp",
  probes: all.map((k) => ({ kind: numbered("z", k), distribution })),
  gives: all.map((k) => ({ kind: numbered("hvp", k) })),
});

/**
 * Hz for each of `probes` draws of z, exact; on the whole batch it shares every primal with the gradient. Kinds: z and hvp,
 * numbered. `share`: the fraction of the batch's rows that H is of.
 */
export function hvpMeasure(distribution: "normal" | "rademacher", probes = 1, share = 1): Measure {
  const all = [...Array(probes).keys()];
  return {
    ...productsOf(all, distribution),
    emit: (c) => {
      const { at } = c.rows(share);
      return new Map(all.map((k) => [numbered("hvp", k), at.hvp(c.probe(numbered("z", k)))]));
    },
  };
}
