import type { Graph } from "../ir/graph.js";
import { trainsBatchNorm } from "../ops/BatchNormalization.js";
import { dropoutSettings } from "./dropout.js";
import { auditDropouts, nodesText, type ExportWarning } from "./dropout_audit.js";
import { auditScatters } from "./scatters.js";
import { modulePath } from "./scopes.js";

export type { ExportWarning } from "./dropout_audit.js";

/** What would train, but hardly as the author of a model meant. */
export const auditExport = (graph: Graph): ExportWarning[] => [
  ...auditDropouts(graph),
  ...auditBatchNorms(graph),
  ...auditScatters(graph),
];

/** Batch norms in evaluation mode beside nodes in training mode: PyTorch's torch.export writes them so, whatever the model's mode. */
function auditBatchNorms(graph: Graph): ExportWarning[] {
  const norms = graph.nodes.filter((n) => n.op === "BatchNormalization" && n.domain === "");
  const idle = norms.filter((n) => !trainsBatchNorm(n));
  const dropouts = graph.nodes.filter((n) => n.op === "Dropout" && dropoutSettings(graph, n).training);
  if (idle.length === 0 || (idle.length === norms.length && dropouts.length === 0)) return [];
  const message = `${nodesText("batch norm", idle)} will go by stored statistics, though the model is in training mode elsewhere; put them into it with --train-mode`;
  return [{ kind: "statistics", nodes: idle.map((node) => ({ name: node.name, path: modulePath(node) })), message }];
}
