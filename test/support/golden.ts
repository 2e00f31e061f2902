import { join } from "node:path";
import { newModel } from "../../src/ir/graph.js";
import { print } from "../../src/ir/print.js";
import { compose } from "../../src/optim/compose.js";
import { loadSource } from "../../src/pack/load.js";
import { emitGraphs } from "../../src/pack/patch.js";
import { costOf, type Cost } from "../../src/passes/cost.js";
import { estimatedSizes } from "../../src/passes/memory.js";
import { schedule } from "../../src/passes/schedule.js";
import { root } from "./root.js";
import { folder } from "./torch_fixtures.js";

/** The packages whose graphs are listed in graphs/: folder, source model, ascent, base. */
const listed = [
  ["encoder", "roberta-train-torchscript17.onnx", "curvsam", "sgd"],
  ["mlp", "mlp-train-torchscript17.onnx", "curvsam", "adamw"],
] as const;

/** Sizes of the dynamic dimensions that costs are counted at. */
export const goldenSizes = new Map([
  ["batch", 8],
  ["sequence", 16],
]);

export interface GoldenCost extends Cost {
  /** The simulated peak once the nodes are ordered for memory. */
  scheduledPeak: number;
}

export interface Golden {
  /** By path. */
  listings: Map<string, string>;
  /** By package and graph. */
  costs: Record<string, Record<string, GoldenCost>>;
}

export const costsFile = join(root, "graphs", "costs.json");

/** Every golden listing, and what the graphs cost. */
export async function golden(): Promise<Golden> {
  const listings = new Map<string, string>();
  const costs: Golden["costs"] = {};
  for (const [name, file, ascent, base] of listed) {
    const { source } = await loadSource(join(folder, file), { loss: { kind: "cross-entropy" } });
    const graphs = emitGraphs({ source, optimizer: compose(ascent, base), groupedHyper: new Set() });
    const own: Record<string, GoldenCost> = (costs[name] = {});
    for (const [graph, emitted] of graphs) {
      listings.set(join(root, "graphs", name, `${graph}.onnxtxt`), print(newModel(emitted), { types: false }));
      const cost = costOf(emitted, goldenSizes);
      own[graph] = { ...cost, scheduledPeak: schedule(emitted, estimatedSizes(emitted, goldenSizes)).after };
    }
  }
  return { listings, costs };
}
