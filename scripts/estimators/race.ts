import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { newModel } from "../../src/ir/graph.js";
import { patch } from "../../src/pack/patch.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { Engine } from "../../src/runtime/engine.js";
import { saveModel } from "../../src/serde/index.js";
import { must } from "../../src/util/assert.js";
import { Rng } from "../../src/util/rng.js";
import { sizeOf } from "../../src/util/shape.js";
import { dataOf, examples, type Net } from "./nets.js";
import { pearson, tensorOf, type Subject, type Weights } from "./study.js";

/** What takes part: estimators and shares of the batch, the exact one with Gaussian probes first. */
export const runners: readonly Subject[] = [
  { name: "hvp, Gaussian", options: { estimator: "hvp", probe: "normal" } },
  { name: "hvp, Rademacher", options: { estimator: "hvp", probe: "rademacher" } },
  { name: "hvp, Rademacher, ¼ batch", options: { estimator: "hvp", probe: "rademacher", share: 0.25 } },
  { name: "hvp, Rademacher, ⅛ batch", options: { estimator: "hvp", probe: "rademacher", share: 0.125 } },
  {
    name: "finite difference, ¼ batch",
    options: { estimator: "finite-difference", probe: "rademacher", share: 0.25 },
  },
  { name: "gnb", options: { estimator: "gnb" } },
  { name: "gnb, ¼ batch", options: { estimator: "gnb", share: 0.25 } },
  { name: "gauss-newton", options: { estimator: "gauss-newton" } },
  { name: "gauss-newton, ½ batch", options: { estimator: "gauss-newton", share: 0.5 } },
  { name: "gauss-newton, ¼ batch", options: { estimator: "gauss-newton", share: 0.25 } },
  { name: "gauss-newton, ⅛ batch", options: { estimator: "gauss-newton", share: 0.125 } },
  { name: "empirical", options: { estimator: "empirical" } },
  { name: "secant", options: { estimator: "secant" } },
  { name: "secant-gradient", options: { estimator: "secant-gradient" } },
];

export interface Placing {
  net: string;
  seed: number;
  estimator: string;
  /** Pearson's correlation of √h with the root of the same moving average of the exact |diag H|. */
  correlation: number;
}

const refreshes = 50;
const every = 5;
const beta = 0.9;
const batchSize = 32;
/** Unit vectors in one run. */
const columns = 8;
/** Parameters that the correlation is taken over: as many as this, drawn once. */
const sampled = 512;
const loss = { kind: "cross-entropy" as const };

/**
 * Every estimator along one run of SAM over AdamW: every 5 steps, on the batch of the step and at its weights, all of them
 * refresh their h, and the exact |diag H| of that batch goes into the same moving average; 50 times.
 */
export async function race(net: Net, seed: number): Promise<Placing[]> {
  const folder = mkdtempSync(join(tmpdir(), "curvsam-race-"));
  const opened: Engine[] = [];
  const open = async (name: string, options: Parameters<typeof patch>[2]): Promise<Engine> => {
    await patch(join(folder, "model.onnx"), join(folder, name), { loss, ...options });
    const engine = await Engine.open(join(folder, name), { threads: 1, seed });
    opened.push(engine);
    return engine;
  };
  try {
    saveModel(newModel(net.build(seed)), join(folder, "model.onnx"));
    const trainer = await open("trainer", { optimizer: "sam", base: "adamw", hyper: { lr: 0.005, weight_decay: 0 } });
    const held: Engine[] = [];
    for (const [i, { options }] of runners.entries()) {
      const optimizerOptions = { ...options, frequency: 1, initial: "zero", radius: "euclidean" };
      // A learning rate of 0 leaves the weights to the trainer; a floor above every √h makes ε SAM's.
      const hyper = { lr: 0, beta, delta: 1e6, rho: 0.05 };
      held.push(await open(`estimator${i}`, { base: "sgd", optimizerOptions, hyper }));
    }
    await open("exact", { base: "sgd", optimizerOptions: { probes: columns } });
    const session = await InferenceSession.create(join(folder, "exact", "hvp.onnx"), { intraOpNumThreads: 1 });
    const data = dataOf(net, seed);
    const rng = new Rng("race", seed);
    const names = Object.keys(trainer.manifest.parameters);
    const sizes = names.map((name) => sizeOf(must(trainer.manifest.parameters[name], name).shape));
    const chosen = rng
      .permutation(sizes.reduce((a, n) => a + n, 0))
      .slice(0, sampled)
      .sort();
    let exact: Float64Array | null = null;
    for (let t = 0; t < refreshes * every; t++) {
      const batch = data([...rng.permutation(examples).subarray(0, batchSize)]);
      if (t % every === 0) {
        const weights = trainer.read(names);
        for (const engine of held) {
          engine.write(weights);
          await engine.step([batch]);
        }
        const diagonal = (await hessianDiagonal(session, weights, batch, chosen)).map(Math.abs);
        exact = exact ? exact.map((x, i) => beta * x + (1 - beta) * (diagonal[i] ?? NaN)) : diagonal;
      }
      await trainer.step([batch]);
    }
    await session.release();
    const want = must(exact, "a diagonal").map(Math.sqrt);
    return held.map((engine, i) => {
      const state = Object.values(engine.read(names.map((name) => `curvature/${name}`)));
      const h = state.flatMap(({ data }) => Array.from(data as Float32Array, Math.sqrt));
      const correlation = pearson(
        Float64Array.from(chosen, (k) => h[k] ?? NaN),
        want,
      );
      return { net: net.name, seed, estimator: runners[i]?.name ?? "", correlation };
    });
  } finally {
    for (const engine of opened) await engine.close();
    rmSync(folder, { recursive: true });
  }
}

/** (H eᵢ)ᵢ of the mean loss over `batch`, for the `chosen` elements of all parameters in a row; several unit vectors a run. */
async function hessianDiagonal(
  session: InferenceSession,
  weights: Weights,
  batch: Feeds,
  chosen: Int32Array,
): Promise<Float64Array> {
  const feeds: Record<string, Tensor> = {};
  for (const [name, value] of Object.entries({ ...weights, ...batch.feeds })) feeds[name] = tensorOf(value);
  const numbered = (kind: string, k: number, name: string): string => `${k === 0 ? kind : `${kind}_${k + 1}`}/${name}`;
  const diagonal: number[] = [];
  let offset = 0;
  for (let k = 0; k < columns; k++) {
    for (const [name, { dims }] of Object.entries(weights)) {
      feeds[numbered("z", k, name)] = new Tensor("float32", new Float32Array(sizeOf(dims)), dims);
    }
  }
  for (const [name, { dims }] of Object.entries(weights)) {
    const size = sizeOf(dims);
    const own = [...chosen].filter((i) => i >= offset && i < offset + size).map((i) => i - offset);
    offset += size;
    const outputs = Array.from({ length: columns }, (_, k) => numbered("hvp", k, name));
    const set = (k: number, i: number, x: number): void => {
      (must(feeds[numbered("z", k, name)], "a probe").data as Float32Array)[i] = x;
    };
    for (let from = 0; from < own.length; from += columns) {
      const units = own.slice(from, from + columns);
      units.forEach((i, k) => set(k, i, 1));
      const out = await session.run(feeds, outputs);
      units.forEach((i, k) => diagonal.push(Number(out[outputs[k] ?? ""]?.data[i])));
      units.forEach((i, k) => set(k, i, 0));
    }
  }
  return Float64Array.from(diagonal);
}
