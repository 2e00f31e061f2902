import { expect } from "chai";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { newModel, type Graph } from "../../src/ir/graph.js";
import { lowerForCpu } from "../../src/lower/cpu.js";
import { readManifest } from "../../src/format/manifest.js";
import { reportKernels } from "../../src/lower/kernel_report.js";
import { cycleGraph } from "../../src/passes/cycle.js";
import { patch } from "../../src/pack/patch.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { provider as cpu } from "../../src/runtime/providers/cpu.js";
import { cyclePeriod } from "../../src/runtime/cycle.js";
import type { Engine, StepResult } from "../../src/runtime/engine.js";
import { loadModel, saveModel } from "../../src/serde/index.js";
import { engines } from "../support/engines.js";
import { logisticBatch, logisticPackage } from "../support/logistic.js";
import { tinyEncoder } from "../support/nets.js";
import { refusal } from "../support/refusal.js";
import { temporaryFolder } from "../support/temp.js";

const everything = (engine: Engine): Record<string, number[]> =>
  Object.fromEntries(
    Object.entries(
      engine.read([...Object.keys(engine.manifest.parameters), ...Object.keys(engine.manifest.state)]),
    ).map(([name, t]) => [name, Array.from(t.data, Number)]),
  );

describe("several steps in one run", () => {
  const work = temporaryFolder();
  const open = engines({ threads: 1, seed: 3, lowered: "" });
  let logistic: string;
  before(() => {
    logistic = logisticPackage();
  });
  after(() => rmSync(logistic, { recursive: true }));
  const lowered = (): string => join(work.path, "lowered");

  /** Takes the steps one by one, and in runs of `lengths` steps (1: by itself); both engines. */
  async function both(
    folder: string,
    batches: readonly Feeds[],
    lengths: readonly number[],
  ): Promise<[Engine, Engine]> {
    const lr = (t: number) => ({ "hyper/lr": 0.1 / (1 + t) });
    const single = await open(folder, { lowered: lowered() });
    const one = [];
    for (const [t, batch] of batches.entries()) one.push(await single.step([batch], lr(t)));
    const chunked = await open(folder, { lowered: lowered() });
    const many: StepResult[] = [];
    for (const length of lengths) {
      const t: number = many.length;
      const next = batches.slice(t, t + length);
      if (length === 1) many.push(await chunked.step(next, lr(t)));
      else {
        await chunked.roomForSteps(next[0]!);
        const { results, failed } = await chunked.steps(next, next.map((_, i) => lr(t + i))); // prettier-ignore
        expect(failed).to.equal(null);
        many.push(...results);
      }
    }
    expect(many).to.deep.equal(one);
    return [single, chunked];
  }

  it("are the steps one by one, bit for bit: curvature, probes, dropout, buffers, a rate that falls, batches of any size", async () => {
    const batches = Array.from({ length: 14 }, (_, t) => logisticBatch(5 + (t % 4), t));
    const [single, chunked] = await both(logistic, batches, [3, 6, 1, 1, 1, 1, 1]);
    expect(everything(chunked)).to.deep.equal(everything(single));
    expect(chunked.getCounters()).to.deep.equal({ step: 14, skipped: 0, skippedInRow: 0 });
  });

  it("are so where refresh and plain steps alternate over batches of unequal size, of an encoder", async () => {
    const model = join(work.path, "encoder.onnx");
    saveModel(newModel(tinyEncoder()), model);
    const folder = join(work.path, "encoder");
    const optimizerOptions = { frequency: 2 };
    await patch(model, folder, { loss: { kind: "cross-entropy" }, base: "adamw", optimizerOptions });
    const batches = [4, 7, 5, 6].map((rows, t): Feeds => {
      const ids = BigInt64Array.from({ length: 3 * rows }, (_, i) => BigInt((5 * i + t) % 6));
      const labels = BigInt64Array.from({ length: rows }, (_, i) => BigInt((i + t) % 3));
      const int64 = (data: BigInt64Array, dims: number[]) => ({ dtype: "int64", dims, data }) as const;
      return { feeds: { ids: int64(ids, [rows, 3]), labels: int64(labels, [rows]) } };
    });
    const [single, chunked] = await both(folder, batches, [4]);
    expect(everything(chunked)).to.deep.equal(everything(single));
    // A step by itself writes over parameters and state, and leaves them where it is skipped.
    const poisoned = Object.keys(single.manifest.parameters)[0]!;
    const value = single.read([poisoned])[poisoned]!;
    single.write({ [poisoned]: { ...value, data: (value.data as Float32Array).fill(NaN, 0, 1) } });
    const before = everything(single);
    expect((await single.step([batches[0]!])).wasSkipped).to.equal(true);
    expect(everything(single)).to.deep.equal(before);
    const step = await lowerForCpu(join(folder, single.manifest.graphs["step"]!), lowered(), new Map(), {
      overwrites: true,
    });
    const given = loadModel(step).graph.outputs.map(({ name }) => name);
    const names = [...Object.keys(single.manifest.parameters), ...Object.keys(single.manifest.state)];
    const written = names.filter((name) => given.includes(`over/${name}`));
    expect(written).to.include.members(Object.keys(single.manifest.parameters));
    expect(given.filter((name) => name.startsWith("next/"))).to.deep.equal([]);
  });

  it("are those of graphs as they are on a provider that keeps state within a Loop", async () => {
    const batches = Array.from({ length: 6 }, (_, t) => logisticBatch(5 + (t % 4), t));
    const single = await open(logistic, { lowered: undefined });
    for (const batch of batches) await single.step([batch]);
    cpu.loops = true;
    try {
      const chunked = await open(logistic, { lowered: undefined });
      expect(await chunked.roomForSteps(batches[0]!)).to.include({ period: 3 });
      expect((await chunked.steps(batches, [])).failed).to.equal(null);
      const [values, expected] = [chunked, single].map(everything);
      for (const [name, numbers] of Object.entries(expected!)) {
        numbers.forEach((x, i) => expect(values![name]![i], `${name}[${i}]`).to.be.closeTo(x, 1e-6));
      }
    } finally {
      delete cpu.loops;
    }
  });

  it("have a kernel of CUDA for whatever the steps have one for, and for the Loops", () => {
    const manifest = readManifest(logistic);
    const models = ["curvature_step", "step"].map((key) => loadModel(join(logistic, manifest.graphs[key]!)));
    const opsets = new Map(models.flatMap((model) => [...model.opsets]));
    const gaps = (graphs: readonly Graph[]): string[] => {
      const report = reportKernels(graphs.map((graph, i) => [String(i), graph, opsets] as const), "cuda"); // prettier-ignore
      return [...new Set(report.gaps.map(({ op, why }) => `${op}: ${why}`))].sort();
    };
    const before = gaps(models.map(({ graph }) => graph));
    const pieces = models.map(({ graph }, i) => ({ graph, count: 1 + i }));
    const cycle = cycleGraph(pieces, (name) => name in manifest.parameters || name in manifest.state);
    const loops = cycle.nodes.filter(({ op }) => op === "Loop").flatMap((node) => [...node.graphs()]);
    expect(loops).to.have.length(1);
    expect(gaps(loops)).to.deep.equal(before);
    // The sizes of batches are multiplied once before the Loop, on the CPU.
    expect(gaps([cycle])).to.deep.equal([...before, "ReduceProd: no kernel for int64"].sort());
  });

  it("are taken back where one is not finite, which is named", async () => {
    const batches = Array.from({ length: 6 }, (_, t) => logisticBatch(8, t));
    const engine = await open(logistic, { lowered: lowered() });
    await engine.roomForSteps(batches[0]!);
    await engine.steps(batches.slice(0, 3), []);
    const before = everything(engine);
    const bad = batches.map((b, t) => {
      const x = { ...b.feeds.x, data: b.feeds.x.data.slice().fill(NaN, 0, t === 4 ? 1 : 0) };
      return { feeds: { ...b.feeds, x } };
    });
    expect(await engine.steps(bad, [])).to.deep.equal({ results: [], failed: 4 });
    expect(everything(engine)).to.deep.equal(before);
    expect(engine.getCounters()).to.deep.equal({ step: 3, skipped: 0, skippedInRow: 0 });
  });

  it("keep to whole periods, and to packages that have some", async () => {
    const engine = await open(logistic, { lowered: lowered() });
    const batch = logisticBatch(8, 0);
    const room = await engine.roomForSteps(batch);
    expect(room).to.include({ period: 3 });
    // Batch, mask and three hyper-parameters for each step; beta and a probe of 6 floats for every third.
    expect(room!.perStep).to.be.closeTo(8 * 5 * 4 + 8 * 4 + 8 * 5 + 3 * 4 + (4 + 6 * 4) / 3, 1e-9);
    expect(await refusal(engine.steps([batch, batch], []))).to.contain("2 steps from step 0 on");
    const plain = await open(logistic, { lowered: undefined });
    expect(await plain.roomForSteps(batch)).to.equal(null);
    const { manifest } = engine;
    expect(cyclePeriod({ ...manifest, refreshes: [{ graph: "step", every: 2, offset: 0 }] })).to.equal(null);
    expect(cyclePeriod({ ...manifest, schedule: [{ graph: "step", every: 1, offset: 0 }] })).to.equal(1);
  });
});
