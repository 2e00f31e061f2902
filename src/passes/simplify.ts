import type { Graph } from "../ir/graph.js";
import { constantsToInitializers } from "./constants.js";
import { cse } from "./cse.js";
import { dce } from "./dce.js";
import { fold } from "./fold.js";
import type { Pass } from "./pass.js";

/** Folding first: it tells floats of Constant nodes from parameters only while they are still nodes. */
const passes: readonly (readonly [string, Pass])[] = [
  ["fold", fold],
  ["constants", constantsToInitializers],
  ["cse", cse],
  ["dce", dce],
];

/**
 * Runs folding, common subexpressions and dead code until nothing changes; `after` is called after every pass. Where only dead
 * code went, the others find nothing new.
 */
export function simplify(graph: Graph, after?: (graph: Graph, pass: string) => void): { modified: boolean } {
  let modified = false;
  for (let again = true; again;) {
    again = false;
    for (const [name, pass] of passes) {
      const changed = pass(graph).modified;
      modified ||= changed;
      if (pass !== dce) again ||= changed;
      after?.(graph, name);
    }
  }
  return { modified };
}
