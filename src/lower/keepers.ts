import type { Graph, Value } from "../ir/graph.js";

/**
 * Drops the choice between new and old values at the outputs `next/…` of a step, `Where(ok, new, old)` for
 * `skipped = 1 − ok`: it reads and writes every parameter and state once more. For drivers that take no `next/…` of a
 * step that says `skipped`, as this runtime's does not. What chose is left as dead code.
 */
export function dropKeepers(graph: Graph): { modified: boolean } {
  const ok = graph.output("skipped")?.producer?.inputs[1]?.producer?.inputs[0];
  if (!ok) return { modified: false };
  const taken = new Set(graph.outputs);
  const before = graph.outputs;
  graph.outputs = before.map((output) => {
    const chosen = newValue(graph, output, ok);
    if (!chosen || taken.has(chosen)) return output;
    taken.add(chosen);
    chosen.name = output.name;
    return chosen;
  });
  return { modified: graph.outputs.some((output, i) => output !== before[i]) };
}

/** What `output` takes where the step is taken, if it is such a choice and a node makes it. */
function newValue(graph: Graph, output: Value, ok: Value): Value | null {
  const node = output.producer;
  if (node?.op !== "Where" || node.input(0) !== ok || !output.name.startsWith("next/")) return null;
  const [, taken, old] = node.inputs;
  const keeps = old && graph.inputs.includes(old) && output.name === `next/${old.name}`;
  return keeps && taken?.producer ? taken : null;
}
