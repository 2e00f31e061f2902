import type { Node } from "../ir/graph.js";

/**
 * The module that a node belongs to, as far as the exporter told: from the node's name
 * (`/encoder/layer.0/query/MatMul` → `encoder.layer.0.query`; children of a Sequential bear its name themselves,
 * `/layer1/layer1.0/conv1/Conv` → `layer1.0.conv1`), or from the scopes that `torch.export` keeps beside it.
 * Empty where nothing is known.
 */
export function modulePath(node: Node): string {
  const scopes = node.metadata.get("pkg.torch.onnx.name_scopes");
  if (scopes !== undefined) {
    const names = [...scopes.matchAll(/'([^']*)'/g)].map((m) => m[1] ?? "");
    return names.at(-2) ?? "";
  }
  const parts = node.name.split("/").slice(0, -1).filter(Boolean);
  return parts.filter((part, i) => !parts[i + 1]?.startsWith(`${part}.`)).join(".");
}
