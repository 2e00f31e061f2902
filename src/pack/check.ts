import { Ways, activeValues, missingRules } from "../autodiff/active.js";
import { auditExport, type ExportWarning } from "../frontend/audit.js";
import { deadEndsBefore, findParameters } from "../frontend/parameters.js";
import { refuseRepeats } from "../frontend/scatters.js";
import { trainable } from "../frontend/source.js";
import { modulePath } from "../frontend/scopes.js";
import type { Value } from "../ir/graph.js";
import { UserError } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";
import { loadTyped } from "./load.js";

/** A node that a derivative would have to pass, and cannot. */
export interface MissingRule {
  op: string;
  name: string;
  /** The module that the node belongs to, as far as the exporter told. */
  path: string;
}

export interface CheckReport {
  file: string;
  differentiable: boolean;
  outputs: string[];
  /** Parameters that reach the outputs. */
  parameters: string[];
  missing: MissingRule[];
  /** Where no parameter reaches the outputs: the nodes at which derivatives end, `Cast "/cast" (which gives int64)`. */
  ends: string[];
  /** What would train, but hardly as its author meant. */
  warnings: ExportWarning[];
}

/**
 * Whether the gradient of `outputs` (by default all floating-point ones) to every parameter of the model in `file` can be
 * built. Throws a UserError for a model that cannot be read or typed, for outputs that cannot be trained towards, and for
 * scatters whose result is not defined.
 */
export async function checkModel(file: string, outputs?: readonly string[]): Promise<CheckReport> {
  const { graph } = (await loadTyped(file)).model;
  const targets = outputs
    ? outputs.map((name) => {
        const value = graph.output(name);
        if (value) return value;
        const names = graph.outputs.map((o) => o.name);
        throw new UserError(
          `${file}: no output is called "${name}"; it has ${names.join(", ")}${didYouMean(name, names)}`,
        );
      })
    : graph.outputs.filter((v) => v.type?.kind === "tensor" && v.dtype.startsWith("float"));
  const parameters = findParameters(graph, targets);
  for (const target of targets)
    refuseRepeats(
      graph,
      parameters.map((p) => p.value),
      trainable(target),
    );
  const ways = new Ways(graph.nodes, targets);
  const active = activeValues(
    ways,
    parameters.map((p) => p.value),
    "vjp",
  );
  const missing = missingRules(ways, active).map((node) => ({
    op: node.domain ? `${node.domain}::${node.op}` : node.op,
    name: node.name,
    path: modulePath(node),
  }));
  return {
    file,
    differentiable: parameters.length > 0 && missing.length === 0,
    outputs: targets.map((v: Value) => v.name),
    parameters: parameters.map((p) => p.name),
    missing,
    ends: parameters.length > 0 ? [] : deadEndsBefore(graph, targets.length > 0 ? targets : graph.outputs),
    warnings: auditExport(graph),
  };
}
