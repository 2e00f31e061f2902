import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { expect } from "chai";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newModel, type Graph } from "../../src/ir/graph.js";
import { exportModel } from "../../src/pack/export.js";
import { patch } from "../../src/pack/patch.js";
import type { Feeds } from "../../src/runtime/batch.js";
import type { Engine } from "../../src/runtime/engine.js";
import type { EngineOptions } from "../../src/runtime/options.js";
import { loadModel, saveModel } from "../../src/serde/index.js";
import { must } from "../../src/util/assert.js";
import { Rng } from "../../src/util/rng.js";
import { array } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { engines } from "../support/engines.js";
import { batchNormNet } from "../support/batch_norms.js";

const statistics = ["bn1.running_mean", "bn1.running_var", "bn2.running_mean", "bn2.running_var"];

function images(key: string, rows = 6) {
  const rng = new Rng("images", key);
  const dims = [rows, 2, 4, 4];
  const x = Float32Array.from({ length: rows * 32 }, () => 4 * rng.uniform() - 1);
  const labels = BigInt64Array.from({ length: rows }, (_, i) => BigInt(i % 3));
  return {
    feeds: { x: { dtype: "float32" as const, dims, data: x }, labels: { dtype: "int64", dims: [rows], data: labels } },
  } satisfies Feeds;
}

/** What the norms of `graph` move their statistics to by one batch, in float64, where they start from `old`. */
function moved(graph: Graph, batch: ReturnType<typeof images>, old: Record<string, ArrayLike<number>>) {
  for (const v of graph.initializers.keys()) {
    const values = old[v.name];
    if (values) graph.inputs.push(v);
  }
  const feeds = Object.fromEntries(Object.entries(old).map(([name, v]) => [name, array("float32", [v.length], v)]));
  const { data, dims } = batch.feeds.x;
  const values = evaluate(graph, { ...feeds, x: array("float32", dims, data) });
  const norms = graph.nodes.filter((n) => n.op === "BatchNormalization");
  return Object.fromEntries(
    norms.flatMap((n) => [1, 2].map((i) => [n.input(i + 2).name, must(values.get(n.output(i)), n.name).data] as const)),
  );
}

describe("batch norms in training mode", () => {
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "curvsam-norms-"));
    saveModel(newModel(batchNormNet()), join(folder, "model.onnx"));
    const options = {
      loss: { kind: "cross-entropy" as const },
      optimizerOptions: { frequency: 2 },
      hyper: { lr: 0.1 },
    };
    await patch(join(folder, "model.onnx"), join(folder, "moving"), options);
    await patch(join(folder, "model.onnx"), join(folder, "frozen"), { ...options, batchNormStatistics: "freeze" });
  });
  after(() => rmSync(folder, { recursive: true }));
  const openEngine = engines({ threads: 1, seed: 5 });
  const open = (name: string, options: EngineOptions = {}): Promise<Engine> => openEngine(join(folder, name), options);
  const read = (engine: Engine): Record<string, Float32Array> =>
    Object.fromEntries(Object.entries(engine.read(statistics)).map(([k, v]) => [k, v.data as Float32Array]));
  const expectClose = (a: Record<string, ArrayLike<number>>, b: Record<string, ArrayLike<number>>): void => {
    for (const name of statistics) {
      Array.from(a[name]!).forEach((x, i) => expect(x, name).to.be.closeTo(b[name]![i]!, 2e-6));
    }
  };

  it("spells them out: no emitted graph holds one in training mode, and pass 2 computes no statistics", () => {
    for (const name of ["gradient", "hvp", "step", "curvature_step"]) {
      const { graph } = loadModel(join(folder, "moving", `${name}.onnx`));
      expect(graph.nodes.filter((n) => n.op === "BatchNormalization")).to.deep.equal([]);
      expect(
        statistics.every((s) => graph.output(`next/${s}`) && graph.input(s)),
        name,
      ).to.equal(true);
    }
    for (const name of ["forward", "evaluate"]) {
      const { graph } = loadModel(join(folder, "moving", `${name}.onnx`));
      const norms = graph.nodes.filter((n) => n.op === "BatchNormalization");
      expect(norms.map((n) => [n.outputs.length, n.int("training_mode", 0)])).to.deep.equal([
        [1, 0],
        [1, 0],
      ]);
    }
  });

  for (const driver of ["fused", "phases"] as const) {
    it(`${driver}: pass 1 moves the statistics by those of the batch, once a step`, async () => {
      const engine = await open("moving", { driver });
      const batch = images("a");
      const expected = moved(batchNormNet(), batch, read(engine));
      const { variant } = await engine.step([batch]);
      expect(variant).to.equal("curvature_step");
      expectClose(read(engine), expected);
    });

    it(`${driver}: a step that is skipped leaves them as they are`, async () => {
      const engine = await open("moving", { driver });
      const before = read(engine);
      const batch = images("b");
      batch.feeds.x.data[7] = NaN;
      const { wasSkipped } = await engine.step([batch]);
      expect(wasSkipped).to.equal(true);
      expect(read(engine)).to.deep.equal(before);
    });

    it(`${driver}: frozen, they stay`, async () => {
      const engine = await open("frozen", { driver });
      const before = read(engine);
      const { wasSkipped } = await engine.step([images("c")]);
      expect(wasSkipped).to.equal(false);
      expect(read(engine)).to.deep.equal(before);
    });
  }

  it("fused and in phases they end where they should after steps of both kinds", async () => {
    const [fused, phases] = [await open("moving"), await open("moving", { driver: "phases" })];
    for (let t = 0; t < 4; t++) {
      const batch = images(`step ${t}`);
      const a = await fused.step([batch]);
      const b = await phases.step([batch]);
      expect(b.diagnostics.loss).to.be.closeTo(a.diagnostics.loss!, 1e-5);
    }
    for (const name of statistics) {
      read(fused)[name]!.forEach((x, i) => expect(x).to.be.closeTo(read(phases)[name]![i]!, 1e-5));
    }
  });

  it("every micro-batch moves them in turn", async () => {
    const engine = await open("moving");
    const [first, second] = [images("d"), images("e", 4)];
    const once = moved(batchNormNet(), first, read(engine));
    const expected = moved(batchNormNet(), second, once);
    await engine.step([first, second]);
    expectClose(read(engine), expected);
  });

  it("evaluation and the exported model go by them", async () => {
    const engine = await open("moving");
    for (let t = 0; t < 3; t++) await engine.step([images(`export ${t}`)]);
    const batch = images("f");
    const { logits } = await engine.forward(batch);
    const { outputs } = await engine.evaluate(batch);
    expect(outputs["logits"]!.data).to.deep.equal(logits!.data);
    const weights = join(folder, "weights.safetensors");
    engine.saveWeights(weights);
    const file = join(folder, "exported.onnx");
    exportModel(join(folder, "moving"), file, { weights });
    const { graph } = loadModel(file);
    const held = new Map([...graph.initializers].map(([v, t]) => [v.name, t]));
    for (const name of statistics) expect(held.get(name)!.float32()).to.deep.equal(read(engine)[name]);
    const session = await InferenceSession.create(file, { intraOpNumThreads: 1 });
    const { data, dims } = batch.feeds.x;
    const result = await session.run({ x: new OrtTensor("float32", data, dims) });
    Array.from(result["logits"]!.data as Float32Array).forEach((x, i) =>
      expect(x).to.be.closeTo((logits!.data as Float32Array)[i]!, 1e-5),
    );
    await session.release();
  });
});
