import type { Model } from "../ir/graph.js";
import { estimatedSizes, simulatePeak } from "../passes/memory.js";
import { passNames, recompute, recomputeKey } from "../passes/recompute.js";
import { schedule } from "../passes/schedule.js";
import { must } from "../util/assert.js";

/**
 * The model that `load` gives, its nodes in the order that needs least memory at `sizes` of the dynamic dimensions. One whose
 * metadata asks for it computes activations anew in those of its passes where that lowers the peak: not in one whose tangents are taken as
 * well, which read all that was computed first. `load` is called several times then, and must give a new model each time.
 */
export function orderForMemory(load: () => Model, sizes: ReadonlyMap<string, number>): Model {
  const ordered = (passes: readonly string[]): { model: Model; peak: number } => {
    const model = load();
    const bytes = (): ReturnType<typeof estimatedSizes> => estimatedSizes(model.graph, sizes);
    recompute(model.graph, bytes(), passes);
    schedule(model.graph, bytes());
    return { model, peak: simulatePeak(model.graph, bytes()) };
  };
  const plain = ordered([]);
  if (!plain.model.metadata.has(recomputeKey)) return plain.model;
  const choices = passNames.map((_, i) => ordered(passNames.slice(i)));
  return must([plain, ...choices].sort((a, b) => a.peak - b.peak)[0], "an order").model;
}
