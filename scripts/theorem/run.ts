import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newModel } from "../../src/ir/graph.js";
import { patch, type PatchOptions } from "../../src/pack/patch.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { Engine } from "../../src/runtime/engine.js";
import { saveModel } from "../../src/serde/index.js";
import { Rng } from "../../src/util/rng.js";
import { classes, perceptron, type Net } from "../estimators/nets.js";
import { mean } from "../../src/util/statistics.js";

export const examples = 512;
export const batchSize = 8;
const inputs = 10;
/** Share of the labels that are drawn anew: no weights fit them all, so that the variance of the gradient stays. */
const noise = 0.2;
/** Full gradients in a run: one at a random step of each of so many equal stretches, which leaves their mean unbiased. */
const looks = 128;

/** A problem: mean cross-entropy over all examples of a data set, which steps see in batches. */
export interface Problem {
  name: "convex" | "non-convex";
  what: string;
  net: Net;
  /** η₀ of η = η₀/√T. */
  rate: number;
}

export const problems: readonly Problem[] = [
  { name: "convex", what: "softmax regression", net: perceptron("regression", [inputs, classes], "Tanh"), rate: 8 },
  {
    name: "non-convex",
    what: "an MLP with 32 hidden tanh",
    net: perceptron("MLP", [inputs, 32, classes], "Tanh"),
    rate: 4,
  },
];

/** A way to take steps; its radius at a number of steps T. */
export interface Method {
  name: string;
  optimizer: "none" | "sam" | "curvsam";
  radius: (steps: number) => number;
  /** On this problem only. */
  only?: Problem["name"];
  /** Starts at the weights that SGD's run of so many steps ends with (default: at new ones). */
  after?: number;
}

export const methods: readonly Method[] = [
  { name: "SGD", optimizer: "none", radius: () => 0 },
  { name: "SAM, ρ = 0.05", optimizer: "sam", radius: () => 0.05 },
  { name: "CurvSAM, ρ = 0.05", optimizer: "curvsam", radius: () => 0.05 },
  { name: "CurvSAM, ρ = 0.5", optimizer: "curvsam", radius: () => 0.5 },
  { name: "CurvSAM, ρ = 4/√T", optimizer: "curvsam", radius: (steps) => 4 / Math.sqrt(steps) },
];

/** SGD again, on weights that are trained already: what changes along the way from new ones has changed. */
export const afterwards: Method = {
  ...{ name: "SGD, from trained weights", optimizer: "none", radius: () => 0 },
  ...{ only: "non-convex", after: 16384 },
};

/** What one run came to. */
export interface Run {
  problem: Problem["name"];
  method: string;
  seed: number;
  /** T. */
  steps: number;
  lr: number;
  rho: number;
  /** Mean of ‖∇L(w_t)‖₂² over the steps, L over all examples. */
  squaredNorm: number;
  /** SGD: mean of ‖g‖₂² over the steps, g of the batch. */
  batchSquaredNorm?: number;
  /** L at the first weights and at the last. */
  before: number;
  after: number;
  /** Mean over the steps of d̄ = mean of 1/d, and of ‖ε‖₂; null where there is none. */
  inverseScale: number | null;
  perturbation: number | null;
}

/** Runs of one method on one problem from one seed, for every number of steps: all from the same weights. */
export async function runsOf(
  problem: Problem,
  method: Method,
  seed: number,
  counts: readonly number[],
): Promise<Run[]> {
  const folder = mkdtempSync(join(tmpdir(), "curvsam-theorem-"));
  const engines: Engine[] = [];
  const make = (name: string, options: PatchOptions) =>
    patch(join(folder, "model.onnx"), join(folder, name), {
      ...{ loss: { kind: "cross-entropy" as const }, base: "sgd" },
      ...options,
    });
  const open = async (name: string): Promise<Engine> => {
    const engine = await Engine.open(join(folder, name), { threads: 1, seed });
    engines.push(engine);
    return engine;
  };
  try {
    saveModel(newModel(problem.net.build(seed)), join(folder, "model.onnx"));
    const rows = dataOf(seed);
    const whole = rows([...Array(examples).keys()]);
    // At a learning rate of 0 a step measures the gradient and moves nothing.
    await make("watcher", { optimizer: "none", hyper: { lr: 0 } });
    await make("trainer", { optimizer: method.optimizer });
    const watcher = await open("watcher");
    const names = Object.keys(watcher.manifest.parameters);
    const look = async (at: Engine): Promise<{ loss: number; squaredNorm: number }> => {
      watcher.write(at.read(names));
      const { loss = NaN, grad_norm: norm = NaN } = (await watcher.step([whole])).diagnostics;
      return { loss, squaredNorm: norm ** 2 };
    };
    const run = async (engine: Engine, steps: number): Promise<Run> => {
      const [lr, rho] = [problem.rate / Math.sqrt(steps), method.radius(steps)];
      const hyper = { "hyper/lr": lr, ...(method.optimizer !== "none" && { "hyper/rho": rho }) };
      const rng = new Rng("steps", problem.name, seed, steps);
      const { loss: before } = await look(engine);
      const norms: number[] = [];
      const batchNorms: number[] = [];
      const scales: number[] = [];
      const sizes: number[] = [];
      let next = looksOf(steps, rng);
      for (let t = 0; t < steps; t++) {
        if (next[0] === t) {
          next = next.slice(1);
          norms.push((await look(engine)).squaredNorm);
        }
        const batch = rows(Array.from({ length: batchSize }, () => rng.int(examples)));
        const { wasSkipped, diagnostics } = await engine.step([batch], hyper);
        if (wasSkipped) throw new Error(`${problem.name}, ${method.name}, T = ${steps}: step ${t} is not finite`);
        batchNorms.push((diagnostics["grad_norm"] ?? NaN) ** 2);
        if (diagnostics["mean_inverse_scale"] !== undefined) scales.push(diagnostics["mean_inverse_scale"]);
        if (diagnostics["perturbation_norm"] !== undefined) sizes.push(diagnostics["perturbation_norm"]);
      }
      return {
        ...{ problem: problem.name, method: method.name, seed, steps, lr, rho, squaredNorm: mean(norms) },
        ...(method.optimizer === "none" && { batchSquaredNorm: mean(batchNorms) }),
        ...{ before, after: (await look(engine)).loss },
        inverseScale: scales.length > 0 ? mean(scales) : null,
        perturbation: sizes.length > 0 ? mean(sizes) : null,
      };
    };
    const trained = method.after === undefined ? undefined : await open("trainer");
    if (trained && method.after !== undefined) await run(trained, method.after);
    const runs: Run[] = [];
    for (const steps of counts) {
      const engine = await open("trainer");
      if (trained) engine.write(trained.read(names));
      runs.push(await run(engine, steps));
    }
    return runs;
  } finally {
    for (const engine of engines) await engine.close();
    rmSync(folder, { recursive: true });
  }
}

/** Steps before which the full gradient is taken, in their order. */
function looksOf(steps: number, rng: Rng): number[] {
  const stretch = Math.max(1, steps / looks);
  return Array.from({ length: Math.min(steps, looks) }, (_, k) => Math.floor((k + rng.uniform()) * stretch));
}

/** Gaussian inputs, the k-th scaled by 10^(−k/9), so that curvature differs; labels of a random linear teacher, some drawn anew. */
function dataOf(seed: number): (rows: readonly number[]) => Feeds {
  const rng = new Rng("theorem", seed);
  const x = new Float32Array(examples * inputs);
  rng.fillNormal(x);
  const teacher = new Float64Array(inputs * classes);
  rng.fillNormal(teacher);
  const labels = Array.from({ length: examples }, (_, i) => {
    const row = x.subarray(i * inputs, (i + 1) * inputs);
    const scores = Array.from({ length: classes }, (_, c) =>
      row.reduce((sum, v, j) => sum + v * (teacher[j * classes + c] ?? 0), 0),
    );
    return rng.uniform() < noise ? rng.int(classes) : scores.indexOf(Math.max(...scores));
  });
  const scaled = x.map((v, i) => v * 10 ** (-(i % inputs) / (inputs - 1)));
  return (rows) => {
    const data = new Float32Array(rows.length * inputs);
    rows.forEach((row, i) => data.set(scaled.subarray(row * inputs, (row + 1) * inputs), i * inputs));
    return {
      feeds: {
        x: { dtype: "float32", dims: [rows.length, inputs], data },
        labels: { dtype: "int64", dims: [rows.length], data: BigInt64Array.from(rows, (r) => BigInt(labels[r] ?? 0)) },
      },
    };
  };
}
