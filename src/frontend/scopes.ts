import type { Node } from "../ir/graph.js";

/**
 * The module that a node belongs to, as far as the exporter told: from the node's name
 * (`/encoder/layer.0/query/MatMul` → `encoder.layer.0.query`), or from the scopes that `torch.export` keeps beside it.
 * Empty where nothing is known.
 */
export function modulePath(node: Node): string {
  const scopes = node.metadata.get("pkg.torch.onnx.name_scopes");
  if (scopes !== undefined) {
    const names = [...scopes.matchAll(/'([^']*)'/g)].map((m) => m[1] ?? "");
    return names.at(-2) ?? "";
  }
  return node.name.split("/").slice(0, -1).filter(Boolean).join(".");
}
