import type { Graph, Value } from "../ir/graph.js";

/**
 * Drops the choice between new and old values at the outputs `next/…` of a step, `Where(ok, new, old)` for
 * `skipped = 1 − ok`: it reads and writes every parameter and state once more. For drivers that take no `next/…` of a
 * step that says `skipped`, as this runtime's does not.
 */
export function dropKeepers(graph: Graph): { modified: boolean } {
  const ok = graph.output("skipped")?.producer?.inputs[1]?.producer?.inputs[0];
  if (!ok) return { modified: false };
  const outputs = new Set(graph.outputs);
  let modified = false;
  graph.outputs = graph.outputs.map((output) => {
    const chosen = newValue(graph, output, ok);
    if (!chosen || outputs.has(chosen)) return output;
    outputs.add(chosen);
    chosen.name = output.name;
    modified = true;
    return chosen;
  });
  if (modified) {
    const kept = new Set(graph.outputs);
    graph.nodes = graph.nodes.filter((n) => !(n.op === "Where" && outputs.has(n.output()) && !kept.has(n.output())));
  }
  return { modified };
}

/** What `output` takes where the step is taken, if it is such a choice and a node makes it. */
function newValue(graph: Graph, output: Value, ok: Value): Value | null {
  const node = output.producer;
  if (node?.op !== "Where" || node.input(0) !== ok || !output.name.startsWith("next/")) return null;
  const [, taken, old] = node.inputs;
  const keeps = old && graph.inputs.includes(old) && output.name === `next/${old.name}`;
  return keeps && taken?.producer ? taken : null;
}
