import type { Measure } from "./measure.js";

/** The k-th of several probes and its HVP: z, hvp; z_2, hvp_2; … */
export const numbered = (kind: string, k: number): string => (k === 0 ? kind : `${kind}_${k + 1}`);

/** Hz for each of `probes` draws of z, exact, sharing every primal with the gradient. Kinds: z and hvp, numbered. */
export function hvpMeasure(distribution: "normal" | "rademacher", probes = 1): Measure {
  const all = [...Array(probes).keys()];
  return {
    graph: "hvp",
    probes: all.map((k) => ({ kind: numbered("z", k), distribution })),
    gives: all.map((k) => ({ kind: numbered("hvp", k) })),
    emit: (c) => new Map(all.map((k) => [numbered("hvp", k), c.at.hvp(c.probe(numbered("z", k)))])),
  };
}
