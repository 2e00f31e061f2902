import { join } from "node:path";
import { newModel } from "../../src/ir/graph.js";
import { print } from "../../src/ir/print.js";
import { compose } from "../../src/optim/compose.js";
import { loadSource } from "../../src/pack/load.js";
import { emitGraphs } from "../../src/pack/patch.js";
import { root } from "./root.js";
import { folder } from "./torch_fixtures.js";

/** The packages whose graphs are listed in graphs/: folder, source model, ascent, base. */
const listed = [
  ["encoder", "roberta-train-torchscript17.onnx", "curvsam", "sgd"],
  ["mlp", "mlp-train-torchscript17.onnx", "curvsam", "adamw"],
] as const;

/** Every golden listing, by its path. */
export async function goldenListings(): Promise<Map<string, string>> {
  const listings = new Map<string, string>();
  for (const [name, file, ascent, base] of listed) {
    const { source } = await loadSource(join(folder, file), { loss: { kind: "cross-entropy" } });
    const graphs = emitGraphs({ source, optimizer: compose(ascent, base), groupedHyper: new Set() });
    for (const [graph, emitted] of graphs) {
      listings.set(join(root, "graphs", name, `${graph}.onnxtxt`), print(newModel(emitted), { types: false }));
    }
  }
  return listings;
}
