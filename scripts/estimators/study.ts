import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import type { Manifest } from "../../src/format/manifest.js";
import { newModel } from "../../src/ir/graph.js";
import { patch } from "../../src/pack/patch.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { Engine } from "../../src/runtime/engine.js";
import type { HostTensor } from "../../src/runtime/tensors.js";
import { saveModel } from "../../src/serde/index.js";
import { must } from "../../src/util/assert.js";
import { Rng } from "../../src/util/rng.js";
import { sizeOf } from "../../src/util/shape.js";
import { dataOf, examples, type Net } from "./nets.js";

/** An estimator of CurvSAM, with the options that it is studied under. */
export interface Subject {
  name: string;
  options: Record<string, unknown>;
}

export const subjects: readonly Subject[] = [
  { name: "hvp, Gaussian", options: { estimator: "hvp", probe: "normal" } },
  { name: "hvp, Rademacher", options: { estimator: "hvp", probe: "rademacher" } },
  { name: "hvp, Rademacher, ¼ batch", options: { estimator: "hvp", probe: "rademacher", share: 0.25 } },
  { name: "finite difference", options: { estimator: "finite-difference", probe: "rademacher" } },
  { name: "gnb", options: { estimator: "gnb" } },
  { name: "gauss-newton", options: { estimator: "gauss-newton" } },
  { name: "empirical", options: { estimator: "empirical" } },
  { name: "secant", options: { estimator: "secant" } },
  { name: "secant-gradient", options: { estimator: "secant-gradient" } },
];

export interface Finding {
  net: string;
  parameters: number;
  seed: number;
  phase: "before" | "near";
  /** Mean loss over the whole data set where the weights are. */
  loss: number;
  estimator: string;
  /** Pearson's correlation of √h with √|diag H| over all parameters. */
  correlation: number;
  /** Σ h / Σ |diag H|. */
  scale: number;
}

export type Weights = Record<string, HostTensor>;

export const tensorOf = ({ dtype, dims, data }: HostTensor): OrtTensor =>
  new OrtTensor(dtype as "float32", data as Float32Array, dims);

const batchSize = 32;
/** Estimates that are averaged, each on a batch of its own. */
const refreshes = 50;
const radius = 0.05;

/** Every estimator on one network, before it has learnt and near interpolation. */
export async function study(net: Net, seed: number, say: (line: string) => void): Promise<Finding[]> {
  const folder = mkdtempSync(join(tmpdir(), "curvsam-estimators-"));
  try {
    const model = join(folder, "model.onnx");
    saveModel(newModel(net.build(seed)), model);
    const data = dataOf(net, seed);
    const loss = { kind: "cross-entropy" as const };
    await patch(model, join(folder, "train"), { loss, optimizer: "none", base: "adamw" });
    const paths = subjects.map((_, i) => join(folder, `estimator${i}`));
    for (const [i, { options }] of subjects.entries()) {
      await patch(model, must(paths[i], "a path"), {
        loss,
        base: "sgd",
        optimizerOptions: { ...options, frequency: 1, radius: "euclidean" },
      });
    }
    const findings: Finding[] = [];
    const trainer = await Engine.open(join(folder, "train"), { threads: 1 });
    for (const phase of ["before", "near"] as const) {
      const reached = await train(trainer, data, phase, seed);
      const weights = trainer.read(Object.keys(trainer.manifest.parameters));
      const exact = await hessianDiagonal(must(paths[0], "a path"), trainer.manifest, weights, data(everything));
      for (const [i, { name }] of subjects.entries()) {
        const mean = await averaged(must(paths[i], "a path"), weights, data, seed);
        const root = (x: number): number => Math.sqrt(Math.abs(x));
        findings.push({
          net: net.name,
          ...{ parameters: exact.length, seed, phase, loss: reached, estimator: name },
          correlation: pearson(mean.map(root), exact.map(root)),
          scale: sum(mean) / sum(exact.map(Math.abs)),
        });
      }
      const shown = findings.slice(-subjects.length).map((f) => f.correlation.toFixed(2));
      say(`${net.name}, seed ${seed}, ${phase} (loss ${reached.toFixed(3)}): ${shown.join(" ")}`);
    }
    await trainer.close();
    return findings;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const everything = [...Array(examples).keys()];

/** Trains for 20 steps, or until the mean loss over the data is below 0.02; gives that loss. */
async function train(
  engine: Engine,
  data: (rows: readonly number[]) => Feeds,
  phase: string,
  seed: number,
): Promise<number> {
  const rng = new Rng("batches", phase, seed);
  const hyper = { "hyper/lr": 0.005, "hyper/weight_decay": 0 };
  for (let t = 0; t < (phase === "before" ? 20 : 6000); t++) {
    await engine.step([data(pick(rng))], hyper);
    if (t % 50 === 49 && (await lossOf(engine, data)) < 0.02) break;
  }
  return lossOf(engine, data);
}

async function lossOf(engine: Engine, data: (rows: readonly number[]) => Feeds): Promise<number> {
  const { lossSum, lossWeight } = await engine.evaluate(data(everything));
  return lossSum / lossWeight;
}

const pick = (rng: Rng): number[] => [...rng.permutation(examples).subarray(0, batchSize)];

/** The diagonal of the Hessian of the mean loss over `batch`, column by column: (H eᵢ)ᵢ. */
async function hessianDiagonal(
  folder: string,
  manifest: Manifest,
  weights: Weights,
  batch: Feeds,
): Promise<Float64Array> {
  const session = await InferenceSession.create(join(folder, "hvp.onnx"), { intraOpNumThreads: 1 });
  const feeds: Record<string, OrtTensor> = {};
  for (const [name, value] of Object.entries({ ...weights, ...batch.feeds })) feeds[name] = tensorOf(value);
  const names = Object.keys(manifest.parameters);
  const probes = names.map((name) => new Float32Array(sizeOf(must(manifest.parameters[name], name).shape)));
  names.forEach((name, k) => {
    const { shape } = must(manifest.parameters[name], name);
    feeds[`z/${name}`] = new OrtTensor("float32", must(probes[k], name), shape);
  });
  const diagonal: number[] = [];
  for (const [k, name] of names.entries()) {
    const probe = must(probes[k], name);
    for (let i = 0; i < probe.length; i++) {
      probe[i] = 1;
      const out = await session.run(feeds, [`hvp/${name}`]);
      diagonal.push(Number(out[`hvp/${name}`]?.data[i]));
      probe[i] = 0;
    }
  }
  await session.release();
  return Float64Array.from(diagonal);
}

/**
 * The mean of the estimates on batches at fixed weights. A learning rate of 0 holds these, a β of 0 makes the state of a
 * package the estimate of its last step, and a floor above every √h makes ε SAM's.
 */
async function averaged(
  folder: string,
  weights: Weights,
  data: (rows: readonly number[]) => Feeds,
  seed: number,
): Promise<Float64Array> {
  const engine = await Engine.open(folder, { threads: 1, seed });
  engine.write(weights);
  const rng = new Rng("refreshes", seed);
  const names = Object.keys(weights).map((name) => `curvature/${name}`);
  const hyper = { "hyper/lr": 0, "hyper/beta": 0, "hyper/delta": 1e6, "hyper/rho": radius };
  let total: Float64Array | null = null;
  for (let k = 0; k < refreshes; k++) {
    await engine.step([data(pick(rng))], hyper);
    const h = Object.values(engine.read(names)).flatMap((t) => Array.from(t.data as Float32Array));
    total = total ? total.map((x, i) => x + (h[i] ?? NaN)) : Float64Array.from(h);
  }
  await engine.close();
  return must(total, "an estimate").map((x) => x / refreshes);
}

const sum = (x: Float64Array): number => x.reduce((s, v) => s + v, 0);

export function pearson(x: Float64Array, y: Float64Array): number {
  const [mx, my] = [sum(x) / x.length, sum(y) / y.length];
  const [dx, dy] = [x.map((v) => v - mx), y.map((v) => v - my)];
  const dot = (a: Float64Array, c: Float64Array): number => a.reduce((s, v, i) => s + v * (c[i] ?? NaN), 0);
  return dot(dx, dy) / Math.sqrt(dot(dx, dx) * dot(dy, dy));
}
