import type { SplitName } from "../data/graph/graphs.js";
import type { SamplerOptions } from "../data/sampler.js";
import type { Manifest } from "../format/manifest.js";
import type { GraphFlags } from "./graph_options.js";

/** A data set of graphs, as batches of a split and as evaluations on one. */
export async function openGraphs(manifest: Manifest, flags: GraphFlags & { data: string }) {
  const { data, split: kind, directed, normalise } = flags;
  const [{ isOgb, readOgb }, { readPlanetoid }, { GraphBatches }, { graphMeasure }] = await Promise.all([
    import("../data/graph/ogb.js"),
    import("../data/graph/planetoid.js"),
    import("../data/graph/batches.js"),
    import("../tasks/graph/measure.js"),
  ]);
  const set = isOgb(data) ? await readOgb(data, { split: kind, directed }) : await readPlanetoid(data, { normalise });
  const { ignoreIndex } = manifest.loss;
  const ignored = typeof ignoreIndex === "number" ? { ignoreIndex } : {};
  const batchesOf = (split: SplitName, sampling: SamplerOptions) =>
    new GraphBatches(set, manifest.inputs, manifest.targets, { split, ...ignored, ...sampling });
  const measure = graphMeasure(manifest);
  const evaluationOn = (split: SplitName, batchSize: number) => ({ source: batchesOf(split, { batchSize }), measure });
  return { batchesOf, evaluationOn };
}
