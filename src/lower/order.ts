import type { Model } from "../ir/graph.js";
import { estimatedSizes, simulatePeak, type SizeOf } from "../passes/memory.js";
import { passNames, recompute, recomputeKey } from "../passes/recompute.js";
import { storeInHalf, storeKey } from "../passes/half_storage.js";
import { schedule } from "../passes/schedule.js";
import { must } from "../util/assert.js";

/**
 * The model that `load` gives, its nodes in the order that needs least memory at `sizes` of the dynamic dimensions. One whose
 * metadata asks for it computes activations anew in those of its passes where that lowers the peak, or keeps them in float16, on
 * the same condition. `load` is called several times then, and must give a new model each time.
 */
export function orderForMemory(load: () => Model, sizes: ReadonlyMap<string, number>): Model {
  const ordered = (passes: readonly string[], stores = false): { model: Model; peak: number } => {
    const model = load();
    // What a step gives is written to buffers that are there already.
    const outputs = new Set(model.graph.outputs);
    const bytes = (): SizeOf => {
      const sizeOf = estimatedSizes(model.graph, sizes);
      return (v) => (outputs.has(v) ? 0 : sizeOf(v));
    };
    recompute(model.graph, bytes(), passes);
    if (stores) storeInHalf(model.graph, bytes());
    schedule(model.graph, bytes());
    return { model, peak: simulatePeak(model.graph, bytes()) };
  };
  const plain = ordered([]);
  const { metadata } = plain.model;
  const anew = metadata.has(recomputeKey) ? passNames.map((_, i) => passNames.slice(i)) : [];
  const stores = metadata.has(storeKey) ? [false, true] : [false];
  const choices = [[], ...anew].flatMap((passes) =>
    stores.filter((s) => s || passes.length > 0).map((s) => ordered(passes, s)),
  );
  return must([plain, ...choices].sort((a, b) => a.peak - b.peak)[0], "an order").model;
}
