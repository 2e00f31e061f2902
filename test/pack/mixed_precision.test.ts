import { expect } from "chai";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readManifest, scheduledGraph } from "../../src/format/manifest.js";
import { newModel, type Graph, type Node, type Value } from "../../src/ir/graph.js";
import { kernelFault, kernelProviders } from "../../src/lower/kernels.js";
import { patch, type PatchOptions } from "../../src/pack/patch.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { Engine } from "../../src/runtime/engine.js";
import { feedsOf, prepareBatch, type Hyper, type Sources } from "../../src/runtime/feeder.js";
import { PackageGraphs } from "../../src/runtime/graphs.js";
import { resolveOptions } from "../../src/runtime/options.js";
import { Phases } from "../../src/runtime/phases.js";
import { PackageRuntime } from "../../src/runtime/runtime.js";
import { RandomInputs } from "../../src/runtime/random.js";
import { Store } from "../../src/runtime/store.js";
import { scalarOf, unwrap } from "../../src/runtime/tensors.js";
import { loadModel, saveModel } from "../../src/serde/index.js";
import { fit } from "../../src/train/fit.js";
import { dynamicLossScale, nextLossScale } from "../../src/train/loss_scale.js";
import { Rng } from "../../src/util/rng.js";
import { batchNormNet } from "../support/batch_norms.js";
import { tinyEncoder } from "../support/nets.js";
import { refusal } from "../support/refusal.js";
import { LogisticSource } from "../support/source.js";
import { temporaryFolder } from "../support/temp.js";

/** Largest relative error of rounding to float16. */
const unit = 2 ** -11;
const [rows, classes] = [8, 3];

const labels = (rng: Rng) =>
  ({
    dtype: "int64",
    dims: [rows],
    data: BigInt64Array.from({ length: rows }, () => BigInt(rng.int(classes))),
  }) as const;

const nets: Record<string, { graph: () => Graph; batch: (t: number) => Feeds }> = {
  encoder: {
    graph: tinyEncoder,
    batch: (t) => {
      const rng = new Rng("tokens", t);
      const data = BigInt64Array.from({ length: rows * 3 }, () => BigInt(rng.int(6)));
      return { feeds: { ids: { dtype: "int64", dims: [rows, 3], data }, labels: labels(rng) } };
    },
  },
  convolutions: {
    graph: batchNormNet,
    batch: (t) => {
      const rng = new Rng("images", t);
      const data = Float32Array.from({ length: rows * 32 }, () => 2 * rng.uniform() - 1);
      return { feeds: { x: { dtype: "float32", dims: [rows, 2, 4, 4], data }, labels: labels(rng) } };
    },
  },
};

/** A package on the CPU provider, by its graphs: engines refuse to train in mixed precision there. */
class OnCpu {
  readonly manifest;
  readonly store;
  private readonly graphs;
  private step = 0;

  constructor(folder: string) {
    this.manifest = readManifest(folder);
    this.store = new Store(folder, this.manifest);
    this.graphs = new PackageGraphs(folder, this.manifest, resolveOptions({ provider: "cpu", threads: 1 }));
  }

  private sources(batch: Feeds, hyper: Hyper): Sources & { batch: ReturnType<typeof prepareBatch> } {
    const { manifest, store, step } = this;
    const moment = { step, attempt: 0, micro: 0 };
    const random = new RandomInputs(manifest, 1);
    return {
      batch: prepareBatch(manifest, batch),
      moment,
      hyper,
      random,
      manifest,
      held: (name) => store.current(name),
    };
  }

  /** All outputs of a graph whose names begin with `prefix`, in one row. */
  async vectors(key: string, prefix: string, batch: Feeds, hyper: Hyper = {}): Promise<number[]> {
    const graph = await this.graphs.get(key);
    const results = await graph.run(
      feedsOf(graph, this.sources(batch, hyper)),
      Object.fromEntries([...graph.outputs].map((name) => [name, null])),
    );
    const names = Object.keys(results).filter((name) => name.startsWith(prefix));
    return names.sort().flatMap((name) => Array.from(results[name]!.data as Float32Array));
  }

  /** One step, taken unless it is skipped. */
  async take(batch: Feeds, hyper: Hyper = {}, driver: "fused" | "phases" = "fused"): Promise<Record<string, number>> {
    const variant = scheduledGraph(this.manifest.schedule, this.step);
    const sources = this.sources(batch, hyper);
    let updates: string[];
    let diagnostics: Record<string, number> = {};
    if (driver === "phases") {
      const phases = new Phases(this.manifest, this.graphs, this.store);
      const result = await phases.step([sources.batch], variant, sources, new Set());
      updates = [...result.updates];
      diagnostics = result.diagnostics;
    } else {
      const graph = await this.graphs.get(variant);
      const fetches = [...graph.outputs].map((name) => [
        name,
        name.startsWith("next/") ? this.store.twin(name.slice(5)) : null,
      ]);
      const results = await graph.run(feedsOf(graph, sources), Object.fromEntries(fetches) as Record<string, null>);
      updates = [...graph.updates];
      for (const [name, tensor] of Object.entries(results)) diagnostics[name] = scalarOf(unwrap(tensor));
    }
    // Whatever a skipped step gives must be what was there.
    if (driver === "fused" || diagnostics["skipped"] === 0) this.store.flip(updates);
    if (diagnostics["skipped"] === 0) this.step++;
    return diagnostics;
  }

  values(): unknown {
    return this.store.names().map((name) => this.store.read(name));
  }

  release(): Promise<void> {
    return this.graphs.release();
  }
}

function distance(got: readonly number[], expected: readonly number[]): number {
  expect(got.length).to.equal(expected.length).and.above(0);
  const norm = (values: readonly number[]): number => Math.hypot(...values);
  return norm(expected.map((x, i) => x - got[i]!)) / norm(expected);
}

describe("mixed precision", function () {
  this.timeout(60_000);
  const work = temporaryFolder();
  let opened: OnCpu[] = [];
  afterEach(async () => {
    for (const each of opened) await each.release();
    opened = [];
  });

  async function packaged(net: string, precision: "float32" | "mixed", options: Partial<PatchOptions> = {}) {
    const { hyper, ...others } = options;
    const folder = join(work.path, `${net} ${precision} ${JSON.stringify(options)}`.replace(/\W+/g, "_"));
    if (existsSync(folder)) return folder;
    saveModel(newModel(nets[net]!.graph()), join(work.path, `${net}.onnx`));
    await patch(join(work.path, `${net}.onnx`), folder, {
      ...{ loss: { kind: "cross-entropy" }, base: "adamw", precision, hyper: { lr: 0.01, ...hyper }, ...others },
    });
    return folder;
  }
  async function open(...args: Parameters<typeof packaged>): Promise<OnCpu> {
    const made = new OnCpu(await packaged(...args));
    opened.push(made);
    return made;
  }
  const graphOf = (folder: string, name: string): Graph => loadModel(join(folder, `${name}.onnx`)).graph;

  for (const [net, { batch }] of Object.entries(nets)) {
    it(`gives loss, gradient, Hessian-vector product and random score to a few roundings of float16: ${net}`, async () => {
      for (const [graph, prefix, most, options] of [
        ["gradient", "loss", 1, {}],
        ["gradient", "grad/", 3, {}],
        ["hvp", "hvp/", 3, {}],
        ["gnb", "sampled_grad/", 3, { optimizerOptions: { estimator: "gauss-newton" } }],
      ] as const) {
        const [wide, mixed] = [await open(net, "float32", options), await open(net, "mixed", options)];
        const expected = await wide.vectors(graph, prefix, batch(0));
        const error = distance(await mixed.vectors(graph, prefix, batch(0), { "hyper/loss_scale": 1024 }), expected);
        expect(error, `${graph} ${prefix}`).to.be.below(most * unit);
        // As float32 it would be nearer.
        if (prefix !== "loss") expect(error, `${graph} ${prefix}`).to.be.above(unit / 100);
      }
    });

    it(`trains beside float32: ${net}`, async () => {
      const [wide, mixed] = [await open(net, "float32"), await open(net, "mixed")];
      const losses: [number, number][] = [];
      let scale = { scale: 2 ** 16, good: 0 };
      for (let t = 0; t < 12; t++) {
        const { loss: expected } = await wide.take(batch(0));
        for (let tried = 0; ; tried++) {
          const { loss, skipped } = await mixed.take(batch(0), { "hyper/loss_scale": scale.scale });
          scale = nextLossScale(scale, skipped === 1, {});
          if (skipped === 0) losses.push([expected!, loss!]);
          if (skipped === 0) break;
          expect(tried, "halvings of the scale").to.be.below(12);
        }
      }
      for (const [t, [expected, loss]] of losses.entries())
        expect(loss, `step ${t}`).to.be.closeTo(expected, 20 * unit);
      const [first, last] = [losses[0]!, losses.at(-1)!];
      expect(last[1]).to.be.below(0.95 * first[1]);
    });
  }

  it("computes products in float16, and neither sums, norms, losses nor the optimizer", async () => {
    for (const net of Object.keys(nets)) {
      const folder = await packaged(net, "mixed");
      for (const name of ["gradient", "hvp", "step", "curvature_step"]) {
        const { nodes, inputs, outputs } = graphOf(folder, name);
        for (const v of [...inputs, ...outputs]) expect(v.dtype, v.name).to.not.equal("float16");
        const half = nodes.filter((node) => node.op !== "Cast" && touches(node));
        const products = half.filter((node) => ["MatMul", "Gemm", "Conv"].includes(node.op));
        const of = nodes.filter((node) => isForward(node) && ["MatMul", "Gemm", "Conv"].includes(node.op));
        expect(of.filter((node) => !touches(node)).map((n) => n.name)).to.deep.equal([]);
        // The input of the first may need no gradient.
        expect(products.length, `${net} ${name}`).to.be.at.least(2.5 * of.length);
        for (const node of half) {
          expect(node.op, node.name).to.not.match(
            /^(Reduce|Softmax|LogSoftmax|Exp|Log|Pow|Sqrt|Scatter|Layer|Batch|Sum)/,
          );
          expect(node.name).to.match(/^(pass1|pass2|curvature)\//);
        }
      }
      for (const name of ["forward", "evaluate", "perturb", "curvature", "descend"])
        expect(graphOf(folder, name).nodes.some(touches), name).to.equal(false);
    }
  });

  it("has float16 kernels for every node on the providers that it is for", async () => {
    for (const net of Object.keys(nets)) {
      const folder = await packaged(net, "mixed");
      for (const provider of kernelProviders.filter((name) => name !== "cpu")) {
        const faults = graphOf(folder, "curvature_step").nodes.flatMap((node) => {
          const why = touches(node) ? kernelFault(node, provider, 21) : undefined;
          return why === undefined ? [] : [`${provider} ${node.op} ${why}`];
        });
        expect(faults).to.deep.equal([]);
      }
    }
  });

  describe("skips the whole step where float16 overflows", () => {
    const { batch } = nets["encoder"]!;
    for (const driver of ["fused", "phases"] as const) {
      it(`in the first pass, in the second alone, and in the Hessian-vector product alone: ${driver}`, async () => {
        const [gradient, product] = [await largestScale("grad/"), await largestScale("hvp/")];
        expect(product).to.be.below(gradient);
        const overflowing: [string, Hyper, Partial<PatchOptions>, (d: Record<string, number>) => void][] = [
          ["pass 1", { "hyper/loss_scale": 2 * gradient }, { optimizer: "sam" }, () => undefined],
          [
            "pass 2",
            { "hyper/loss_scale": gradient / 2, "hyper/rho": 1e5 },
            { optimizer: "sam" },
            ({ grad_norm: norm, loss }) => {
              expect(norm).to.satisfy(Number.isFinite);
              expect(loss).to.satisfy(Number.isFinite);
            },
          ],
          [
            "product",
            { "hyper/loss_scale": 2 * product },
            {},
            ({ grad_norm: norm, perturbed_loss: loss }) => {
              expect(norm).to.satisfy(Number.isFinite);
              expect(loss).to.satisfy(Number.isFinite);
            },
          ],
        ];
        for (const [what, hyper, options, others] of overflowing) {
          const at = await open("encoder", "mixed", options);
          const before = at.values();
          const diagnostics = await at.take(batch(0), hyper, driver);
          expect(diagnostics["skipped"], what).to.equal(1);
          others(diagnostics);
          expect(at.values(), what).to.deep.equal(before);
          const scale = { scale: hyper["hyper/loss_scale"]!, good: 7 };
          expect(nextLossScale(scale, true, {})).to.deep.equal({ scale: scale.scale / 2, good: 0 });
          const taken = await at.take(batch(0), { "hyper/loss_scale": 1 }, driver);
          expect(taken["skipped"], what).to.equal(0);
          expect(at.values(), what).to.not.deep.equal(before);
        }
      });
    }

    /** The largest power of two at which a kind of vector is finite. */
    async function largestScale(prefix: string): Promise<number> {
      const at = await open("encoder", "mixed");
      for (let scale = 2 ** 30; scale >= 1; scale /= 2) {
        const values = await at.vectors("hvp", prefix, batch(0), { "hyper/loss_scale": scale });
        if (values.every(Number.isFinite)) return scale;
      }
      throw new Error("no scale is small enough");
    }
  });

  it("is refused on the CPU, where evaluation goes on in float32", async () => {
    const { batch } = nets["encoder"]!;
    const folder = await packaged("encoder", "mixed");
    const says = /mixed precision, and provider "cpu" has no float16 products.*train on cuda, dml or webgpu, or patch/;
    const engine = await Engine.open(folder, { threads: 1 });
    expect(await refusal(engine.step([batch(0)]))).to.match(says);
    const { lossSum } = await engine.evaluate(batch(0));
    await engine.close();
    const plain = await Engine.open(await packaged("encoder", "float32"), { threads: 1 });
    expect((await plain.evaluate(batch(0))).lossSum).to.equal(lossSum);
    await plain.close();
    const runtime = await PackageRuntime.open(folder, { threads: 1 });
    const log = join(work.path, "log.jsonl");
    expect(await refusal(fit({ runtime, train: new LogisticSource(8, 4), epochs: 1, log }))).to.match(says);
    expect(existsSync(log)).to.equal(false);
    expect(dynamicLossScale({ runtime })).to.deep.equal({});
    expect(dynamicLossScale({ runtime, hyper: { loss_scale: 8 } })).to.equal(null);
    await runtime.close();
  });

  it("says so in the manifest, with the scale of the loss; float32 says nothing else than before", async () => {
    const read = async (precision: "float32" | "mixed", hyper = {}) =>
      readManifest(await packaged("encoder", precision, { hyper }));
    expect(await read("mixed")).to.have.property("precision", "mixed");
    expect((await read("mixed")).hyper["hyper/loss_scale"]?.default).to.equal(65536);
    expect((await read("mixed", { loss_scale: 32 })).hyper["hyper/loss_scale"]?.default).to.equal(32);
    expect(await read("float32")).to.have.property("precision", "float32");
    expect((await read("float32")).hyper).to.not.have.property("hyper/loss_scale");
  });

  it("refuses what float16 makes meaningless", async () => {
    expect(await refusal(packaged("encoder", "mixed", { optimizer: "none", base: "kfac" }))).to.match(/kfac reads act/);
    const differences = { optimizerOptions: { estimator: "finite-difference" } };
    expect(await refusal(packaged("encoder", "mixed", differences))).to.match(
      /lost in float16's rounding; take the est/,
    );
  });
});

const isHalf = (v: Value | null): boolean => v?.type?.kind === "tensor" && v.dtype === "float16";
const touches = (node: Node): boolean => [...node.inputs, ...node.outputs].some(isHalf);
const isForward = (node: Node): boolean => !/(^descend|^perturb|backward|tangent)\//.test(node.name);
