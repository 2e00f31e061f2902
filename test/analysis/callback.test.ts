import { expect } from "chai";
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { sharpnessCallback } from "../../src/analysis/callback.js";
import { LossSurface } from "../../src/analysis/surface.js";
import { writeSurface } from "../../src/pack/surface.js";
import { PackageRuntime } from "../../src/runtime/runtime.js";
import { fit } from "../../src/train/fit.js";
import { features, logisticBatch, logisticPackage, type LogisticBatch } from "../support/logistic.js";
import { rejects } from "../support/rejects.js";
import { LogisticSource } from "../support/source.js";
import { temporaryFolder } from "../support/temp.js";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Logistic regression in float64: mean loss, gradient and Hessian over (w, b), the features scaled. */
function logistic({ size, feeds: { x, labels } }: LogisticBatch, scale: readonly number[], at: readonly number[]) {
  const n = features + 1;
  let loss = 0;
  const gradient = new Array<number>(n).fill(0);
  const hessian = Matrix.zeros(n, n);
  for (let i = 0; i < size; i++) {
    const row = [...scale.map((s, k) => s * x.data[i * features + k]!), 1];
    const score = row.reduce((sum, v, k) => sum + v * at[k]!, 0);
    const p = sigmoid(score);
    loss += (Math.log1p(Math.exp(score)) - labels.data[i]! * score) / size;
    row.forEach((v, k) => {
      gradient[k]! += ((p - labels.data[i]!) * v) / size;
      row.forEach((u, l) => hessian.set(k, l, hessian.get(k, l) + (p * (1 - p) * v * u) / size));
    });
  }
  return { loss, gradient, hessian };
}

describe("the sharpness callback", () => {
  const folder = temporaryFolder();
  let out: string;
  before(() => {
    out = logisticPackage();
  });
  after(() => rmSync(out, { recursive: true }));

  it("logs what the Hessian and the losses at the current weights are, frozen tensors included", async () => {
    const batches = [logisticBatch(20, "first"), logisticBatch(12, "second")];
    const runtime = await PackageRuntime.open(out, { threads: 1, seed: 2 });
    const graphs = await writeSurface(out, runtime.manifest, folder.path);
    const surface = await LossSurface.open(out, graphs, batches, { threads: 1 });
    const log = join(folder.path, "log.jsonl");
    // Not the scale that the package has: the surface has to follow the runtime.
    const scale = [1.5, 0.5, 1, 2, 1];
    await runtime.write({ scale: { dtype: "float32", dims: [features], data: Float32Array.from(scale) } });
    await rejects(() => sharpnessCallback(surface, runtime, { every: 0 }), "every: 0");
    const callbacks = sharpnessCallback(surface, runtime, { every: 4, probes: 60, radii: [0.3] });
    await fit({ runtime, train: new LogisticSource(64, 8), epochs: 1, callbacks, log });
    const values = await runtime.read(["w", "b", "curvature/w", "curvature/b"]);
    const vector = (prefix: string) => ["w", "b"].flatMap((name) => Array.from(values[prefix + name]!.data, Number));
    await surface.close();
    await runtime.close();

    const events = readFileSync(log, "utf8").trimEnd().split("\n");
    const logged = events
      .map((line) => JSON.parse(line) as Record<string, number | string>)
      .filter(({ event }) => event === "sharpness");
    expect(logged.map(({ step }) => step)).to.deep.equal([4, 8]);
    const last = logged[1] as Record<string, number>;

    const [w, h] = [vector(""), vector("curvature/")];
    const all = batches.map((batch) => logistic(batch, scale, w));
    const weights = batches.map(({ size }) => size / 32);
    const mean = (of: (each: (typeof all)[0]) => number) =>
      all.reduce((sum, each, k) => sum + weights[k]! * of(each), 0);
    const hessian = Matrix.zeros(features + 1, features + 1);
    all.forEach((each, k) => hessian.add(Matrix.mul(each.hessian, weights[k]!)));
    const eigenvalues = new EigenvalueDecomposition(hessian, { assumeSymmetric: true }).realEigenvalues.sort(
      (a, b) => b - a,
    );
    expect(last.loss).to.be.closeTo(
      mean(({ loss }) => loss),
      1e-5,
    );
    const gradient = w.map((_, i) => mean((each) => each.gradient[i]!));
    expect(last.gradient_norm).to.be.closeTo(Math.hypot(...gradient), 1e-5);
    expect(last.largest_eigenvalue).to.be.closeTo(eigenvalues[0]!, 1e-4 * eigenvalues[0]!);
    expect(last.smallest_eigenvalue).to.be.closeTo(eigenvalues.at(-1)!, 1e-4 * eigenvalues[0]!);
    expect(Math.abs(last.trace! - hessian.trace())).to.be.below(4 * last.trace_standard_error!);

    const rise = (step: (g: readonly number[]) => number[]): number => {
      const rises = all.map(({ loss, gradient: g }, k) => {
        const epsilon = step(g);
        const moved = w.map((x, i) => x + epsilon[i]!);
        return logistic(batches[k]!, scale, moved).loss - loss;
      });
      return (rises[0]! + rises[1]!) / 2;
    };
    const d = h.map((x) => Math.max(Math.sqrt(x), 0.01));
    const uniform = rise((g) => g.map((x) => (0.3 * x) / Math.hypot(...g)));
    const ellipsoid = rise((g) => {
      const norm = Math.sqrt(g.reduce((sum, x, i) => sum + x ** 2 / d[i]!, 0));
      return g.map((x, i) => (0.3 * x) / d[i]! / norm);
    });
    expect(last["rise/0.3"]).to.be.closeTo(uniform, 1e-5);
    expect(last["ellipsoid_rise/0.3"]).to.be.closeTo(ellipsoid, 1e-5);
    expect(Math.abs(uniform - ellipsoid)).to.be.above(1e-3);
  });
});
