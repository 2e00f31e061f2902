// Builds the gradient and the Hessian-vector product graph of a synthetic model of NODES nodes, as `curvsam patch` does, and
// says what each stage took.
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newModel, type Graph } from "../../src/ir/graph.js";
import { compose } from "../../src/optim/compose.js";
import { loadSource } from "../../src/pack/load.js";
import { gradientGraph } from "../../src/pack/phases.js";
import { tidy } from "../../src/pack/tidy.js";
import { saveModel } from "../../src/serde/index.js";
import { peakBytes } from "./peak.js";
import { syntheticModel } from "./synthetic.js";

/** Seconds by stage, and what came out. */
export interface Compiled {
  nodes: number;
  /** Reading the file, and typing every value by asking the runtime. */
  read: number;
  gradient: number;
  hvp: number;
  /** Writing both graphs. */
  write: number;
  emitted: number;
  bytes: number;
  peak: number;
}

const folder = mkdtempSync(join(tmpdir(), "curvsam-compile-"));
try {
  const file = join(folder, "model.onnx");
  const model = newModel(syntheticModel(Number(process.argv[2])), 17, 8);
  const nodes = model.graph.nodes.length;
  saveModel(model, file);
  let last = performance.now();
  const lap = (): number => {
    const start = last;
    last = performance.now();
    return (last - start) / 1000;
  };
  const { source } = await loadSource(file, { loss: { kind: "cross-entropy" } });
  const read = lap();
  const recipe = { source, optimizer: compose("curvsam", "sgd"), groupedHyper: new Set<string>() };
  let write = 0;
  const save = (graph: Graph): number => {
    const path = join(folder, `${graph.name}.onnx`);
    saveModel(newModel(graph), path);
    write += lap();
    return statSync(path).size;
  };
  const first = tidy(gradientGraph(recipe));
  const gradient = lap();
  save(first);
  const second = tidy(gradientGraph(recipe, "ascent"));
  const hvp = lap();
  const bytes = save(second);
  const compiled: Compiled = {
    nodes,
    read,
    gradient,
    hvp,
    write,
    emitted: second.nodes.length,
    bytes,
    peak: peakBytes(),
  };
  console.log(JSON.stringify(compiled));
} finally {
  rmSync(folder, { recursive: true });
}
