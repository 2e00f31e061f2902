import { activeValues, ancestors, missingRules } from "../autodiff/active.js";
import { findParameters } from "../frontend/parameters.js";
import type { Node, Value } from "../ir/graph.js";
import { UserError } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";
import { loadTyped } from "./load.js";

/** A node that a derivative would have to pass, and cannot. */
export interface MissingRule {
  op: string;
  name: string;
  /** The modules that the node belongs to, outermost first, as far as the exporter told. */
  path: string;
}

export interface CheckReport {
  file: string;
  differentiable: boolean;
  outputs: string[];
  /** Parameters that reach the outputs. */
  parameters: string[];
  missing: MissingRule[];
}

/**
 * Whether the gradient of `outputs` (by default all floating-point ones) to every parameter of the model in `file` can be
 * built. Throws a UserError for a model that cannot be read or typed.
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
  const nodes = ancestors(graph.nodes, targets);
  const active = activeValues(
    nodes,
    parameters.map((p) => p.value),
    "vjp",
  );
  const missing = missingRules(nodes, active).map((node) => ({
    op: node.domain ? `${node.domain}::${node.op}` : node.op,
    name: node.name,
    path: scopePath(node),
  }));
  return {
    file,
    differentiable: parameters.length > 0 && missing.length === 0,
    outputs: targets.map((v: Value) => v.name),
    parameters: parameters.map((p) => p.name),
    missing,
  };
}

/** From the node's name (`/encoder/layer.0/MatMul`), or the scopes that `torch.export` keeps beside it. */
function scopePath(node: Node): string {
  const scopes = node.metadata.get("pkg.torch.onnx.name_scopes");
  if (scopes !== undefined) {
    const names = scopes.match(/'([^']*)'/g)?.map((s) => s.slice(1, -1)) ?? [];
    return names.filter((s) => s !== "").at(-2) ?? "";
  }
  return node.name.split("/").slice(0, -1).filter(Boolean).join("/");
}
