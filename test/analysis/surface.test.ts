import { join } from "node:path";
import { expect } from "chai";
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { filterNormalizedDirection, landscape } from "../../src/analysis/landscape.js";
import { curvatureScale, ellipsoidStep, sharpnessAt } from "../../src/analysis/radius.js";
import { sharpness } from "../../src/analysis/sharpness.js";
import { LossSurface } from "../../src/analysis/surface.js";
import { dot, moved, norm } from "../../src/analysis/vector.js";
import { readManifest } from "../../src/format/manifest.js";
import { newModel, type Graph } from "../../src/ir/graph.js";
import { patch } from "../../src/pack/patch.js";
import { writeSurface } from "../../src/pack/surface.js";
import { loadModel, saveModel } from "../../src/serde/index.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { Rng } from "../../src/util/rng.js";
import { array, type Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { temporaryFolder } from "../support/temp.js";
import { twoLayers } from "../support/two_layers.js";

/** Two batches of unequal size: their losses count by their examples. */
function batches(): Feeds[] {
  return [5, 3].map((size, k) => {
    const x = new Float32Array(3 * size);
    new Rng(k, "x").fillNormal(x);
    const labels = BigInt64Array.from({ length: size }, (_, i) => BigInt((i + k) % 2));
    return {
      feeds: {
        x: { dtype: "float32", dims: [size, 3], data: x },
        labels: { dtype: "int64", dims: [size], data: labels },
      },
    };
  });
}

/** Float32 arrays of the reference hold float64 values. */
/** The float64 values of a surface graph's outputs, averaged over the batches by their weights. */
function exact(graph: Graph, surface: LossSurface, w: ArrayLike<number>, z?: ArrayLike<number>): Float64Array {
  const total = new Float64Array(surface.size);
  let weights = 0;
  for (const { feeds } of batches()) {
    const all: Record<string, Array64> = {};
    for (const [name, t] of Object.entries(feeds))
      all[name] = array(t.dtype, t.dims, Float64Array.from(t.data, Number));
    for (const { name, start, end, shape } of surface.blocks) {
      all[name] = array("float32", shape, Array.from(w).slice(start, end));
      if (z) all[`z/${name}`] = array("float32", shape, Array.from(z).slice(start, end));
    }
    const values = evaluate(graph, all);
    const of = (name: string): Array64 => values.get(graph.outputs.find((v) => v.name === name)!)!;
    const weight = of("loss_weight").data[0]!;
    weights += weight;
    for (const { name, start } of surface.blocks) {
      of(`${z ? "hvp" : "grad"}/${name}`).data.forEach((x, i) => (total[start + i] = total[start + i]! + weight * x));
    }
  }
  return total.map((x) => x / weights);
}

describe("a loss surface", () => {
  const folder = temporaryFolder();
  let surface: LossSurface;
  let hessian: Matrix;
  let gradient: Float64Array;

  before(async () => {
    const out = join(folder.path, "package");
    saveModel(newModel(twoLayers()), join(folder.path, "model.onnx"));
    await patch(join(folder.path, "model.onnx"), out, { loss: { kind: "cross-entropy" }, optimizer: "none" });
    const graphs = await writeSurface(out, readManifest(out), folder.path);
    surface = await LossSurface.open(out, graphs, batches(), { threads: 1 });
    const columns = Array.from({ length: surface.size }, (_, i) => {
      const unit = new Float64Array(surface.size);
      unit[i] = 1;
      return [...exact(loadModel(graphs.hvp).graph, surface, surface.origin, unit)];
    });
    hessian = new Matrix(columns);
    gradient = exact(loadModel(graphs.gradient).graph, surface, surface.origin);
  });
  after(() => surface.close());

  const close = (a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number): void => {
    const difference = Float64Array.from(a, (x, i) => x - b[i]!);
    expect(norm(difference) / norm(Float64Array.from(b))).to.be.below(tolerance);
  };

  it("has the gradient and the Hessian of the mean over batches of unequal weight", async () => {
    expect(Math.max(...hessian.clone().sub(hessian.transpose()).to1DArray().map(Math.abs))).to.be.below(1e-12);
    close(await surface.gradient(surface.origin), gradient, 1e-5);
    const v = new Float32Array(surface.size);
    new Rng(4).fillNormal(v);
    close(await surface.hessian(surface.origin)(v), hessian.mmul(Matrix.columnVector(v)).to1DArray(), 1e-5);
  });

  it("measures what the materialised Hessian in float64 has, within 1e-4", async () => {
    const found = await sharpness(surface, surface.origin, { topK: 3, probes: 60, radii: [0.1], layers: true });
    const values = new EigenvalueDecomposition(hessian, { assumeSymmetric: true }).realEigenvalues.sort(
      (a, b) => b - a,
    );
    found.eigenvalues.largest.forEach(({ value }, i) => expect(value).to.be.closeTo(values[i]!, 1e-4 * values[0]!));
    expect(found.eigenvalues.smallest.value).to.be.closeTo(values.at(-1)!, 1e-4 * values[0]!);
    expect(found.eigenvalues.converged).to.equal(true);
    expect(found.gradientNorm).to.be.closeTo(norm(gradient), 1e-5);
    const trace = hessian.diagonal().reduce((sum, x) => sum + x, 0);
    expect(Math.abs(found.trace.mean - trace)).to.be.below(4 * found.trace.standardError);
    for (const [i, { name, largest }] of found.layers.entries()) {
      const { start, end } = surface.blocks[i]!;
      const block = hessian.subMatrix(start, end - 1, start, end - 1);
      const top = Math.max(...new EigenvalueDecomposition(block, { assumeSymmetric: true }).realEigenvalues);
      expect(largest!.value, name).to.be.closeTo(top, 1e-2 * top);
    }
  });

  it("rises along the gradient as its second-order expansion says", async () => {
    const radius = 1e-2;
    const w = surface.origin;
    const rises = [0, 1].map(async (batch) => {
      const g = await surface.gradient(w, batch);
      const point = moved(w, radius / norm(g), g);
      return (await surface.loss(point, batch)) - (await surface.loss(w, batch));
    });
    const [a = NaN, b = NaN] = await Promise.all(rises);
    const d = new Float32Array(surface.size).fill(1);
    const [{ uniform: found, ellipsoid } = { uniform: { mean: NaN }, ellipsoid: { mean: NaN } }] = await sharpnessAt(
      surface,
      w,
      [radius],
      d,
    );
    // Where every scale is 1 the ellipsoid is the ball.
    expect(ellipsoid.mean).to.be.closeTo(found.mean, 1e-7);
    expect(found.mean).to.be.closeTo((a + b) / 2, 1e-7);
    expect(found.mean).to.be.above(0);
  });

  it("steps to the boundary of the ellipsoid εᵀDε = ρ²", () => {
    const d = curvatureScale(
      Float64Array.from(gradient, (x) => x * x),
      0.01,
    );
    const step = ellipsoidStep(gradient, d, 0.3);
    expect(
      dot(
        step,
        step.map((x, i) => x * d[i]!),
      ),
    ).to.be.closeTo(0.09, 1e-12);
    expect(ellipsoidStep(new Float64Array(2), new Float64Array(2).fill(1), 0.3)).to.deep.equal(new Float64Array(2));
  });

  it("draws directions whose filters have the norms of the weights'", async () => {
    const w = surface.origin;
    const direction = filterNormalizedDirection(w, surface.blocks, new Rng(7));
    const at = (v: ArrayLike<number>, name: string): number[] => {
      const { start, end } = surface.blocks.find((b) => b.name === name)!;
      return Array.from(v).slice(start, end);
    };
    // [in, out] = [3, 4]: a filter is a column where the package says transposed, else a row.
    const { transposed } = surface.blocks.find((b) => b.name === "first.weight")!;
    const filter = (v: ArrayLike<number>, k: number): number[] =>
      at(v, "first.weight").filter((_, i) => (transposed ? i % 4 : Math.floor(i / 4)) === k);
    for (const k of [0, 1, 2])
      expect(Math.hypot(...filter(direction, k))).to.be.closeTo(Math.hypot(...filter(w, k)), 1e-5);
    expect(at(direction, "first.bias").every((x) => x === 0)).to.equal(true);
    const { steps, loss } = await landscape(surface, w, { dimensions: 2, extent: 1, count: 3, rng: new Rng(7) });
    expect(steps).to.deep.equal([-1, 0, 1]);
    expect(loss[1]![1]).to.be.closeTo(await surface.loss(w), 1e-6);
    expect(loss[1]![2]).to.be.closeTo(await surface.loss(moved(w, 1, direction)), 1e-6);
  });
});
