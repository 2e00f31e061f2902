import { join } from "node:path";
import { readManifest } from "../format/manifest.js";
import { reportKernels, type KernelProvider, type KernelReport } from "../lower/kernel_report.js";
import { newModel } from "../ir/graph.js";
import { compose } from "../optim/compose.js";
import type { Precision } from "../frontend/autocast.js";
import { loadSource } from "../pack/load.js";
import { emitGraphs } from "../pack/patch.js";
import { loadModel } from "../serde/index.js";
import type { LossKind } from "./loss.js";

/** What `provider` lacks of the graphs of the package in `folder`. */
export function packageKernels(folder: string, provider: KernelProvider): KernelReport {
  const { graphs } = readManifest(folder);
  const models = Object.entries(graphs).map(([name, file]) => [name, loadModel(join(folder, file))] as const);
  return reportKernels(
    models.map(([name, { graph, opsets }]) => [name, graph, opsets] as const),
    provider,
  );
}

/** What `provider` lacks of the graphs that CurvSAM over SGD trains the model in `file` with. */
export async function sourceKernels(
  file: string,
  provider: KernelProvider,
  { kind, logits, precision }: { kind: LossKind; logits: string | undefined; precision: Precision },
): Promise<KernelReport> {
  const { source } = await loadSource(file, { loss: { kind, ...(logits !== undefined && { logits }) } });
  const graphs = emitGraphs({
    source: { ...source, precision },
    optimizer: compose("curvsam", "sgd"),
    groupedHyper: new Set(),
  });
  return reportKernels(
    [...graphs].map(([name, graph]) => [name, graph, newModel(graph).opsets] as const),
    provider,
  );
}
