import { expect } from "chai";
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { smoothedDensity, spectralDensity } from "../../src/analysis/density.js";
import { extremeEigenvalues, lanczos } from "../../src/analysis/lanczos.js";
import { estimateOf, hutchinson } from "../../src/analysis/trace.js";
import { dot, type SymmetricOperator } from "../../src/analysis/vector.js";
import { Rng } from "../../src/util/rng.js";

const n = 40;

/** A symmetric matrix with many small eigenvalues of both signs and a few large ones, as Hessians have. */
function matrix(): Matrix {
  const values = Float64Array.from({ length: n * n });
  new Rng(3, "matrix").fillNormal(values);
  const { Q } = { Q: new EigenvalueDecomposition(symmetric(values)).eigenvectorMatrix };
  const spectrum = Array.from({ length: n }, (_, i) => (i < 4 ? 10 - 2 * i : 0.3 * Math.cos(i)));
  return Q.mmul(Matrix.diag(spectrum)).mmul(Q.transpose());
}

function symmetric(values: Float64Array): Matrix {
  const a = Matrix.from1DArray(n, n, values);
  return a.clone().add(a.transpose());
}

const a = matrix();
const apply: SymmetricOperator = (v) => Promise.resolve(Float64Array.from(a.mmul(Matrix.columnVector(v)).to1DArray()));
const start = (): Float64Array => {
  const v = new Float64Array(n);
  new Rng(1, "start").fillNormal(v);
  return v;
};

describe("Lanczos", () => {
  it("keeps its basis orthonormal to rounding", async () => {
    const { basis } = await lanczos(apply, start(), n);
    for (const [i, p] of basis.entries()) {
      for (const [j, q] of basis.entries()) expect(Math.abs(dot(p, q) - Number(i === j))).to.be.below(1e-12);
    }
  });

  it("finds the largest and the smallest eigenvalues within their residuals", async () => {
    const found = await extremeEigenvalues(apply, start(), { k: 5, steps: n, tolerance: 1e-8 });
    const exact = new EigenvalueDecomposition(a).realEigenvalues.sort((x, y) => y - x);
    expect(found.converged).to.equal(true);
    expect(found.products).to.be.at.most(n);
    found.largest.forEach(({ value, residual }, i) => {
      expect(Math.abs(value - exact[i]!)).to.be.at.most(Math.max(1e-9, residual));
    });
    expect(found.smallest.value).to.be.closeTo(exact.at(-1)!, 1e-6);
  });

  it("says that it did not converge where its steps are too few", async () => {
    const found = await extremeEigenvalues(apply, start(), { k: 5, steps: 6 });
    expect(found).to.include({ converged: false, products: 6 });
  });

  it("ends where the Krylov space is invariant", async () => {
    const double: SymmetricOperator = (v) => Promise.resolve(v.map((x) => 2 * x));
    const found = await extremeEigenvalues(double, start(), { k: 1, steps: 10 });
    expect(found).to.include({ converged: true, products: 1 });
    expect(found.largest[0]!.value).to.be.closeTo(2, 1e-12);
  });
});

describe("Hutchinson's trace", () => {
  const ranges = [
    { name: "first", start: 0, end: 15 },
    { name: "second", start: 15, end: n },
  ];

  it("lies within four standard errors, for the blocks too, and estimates the diagonal", async () => {
    const { total, blocks, diagonal } = await hutchinson(apply, start(), { probes: 400, rng: new Rng(2), ranges });
    const exact = (from: number, to: number): number =>
      Array.from({ length: to - from }, (_, i) => a.get(from + i, from + i)).reduce((sum, x) => sum + x, 0);
    expect(Math.abs(total.mean - exact(0, n))).to.be.below(4 * total.standardError);
    for (const { name, start: from, end } of ranges) {
      const { mean, standardError } = blocks.get(name)!;
      expect(Math.abs(mean - exact(from, end))).to.be.below(4 * standardError);
    }
    const worst = Math.max(...diagonal.map((x, i) => Math.abs(x - a.get(i, i))));
    expect(worst).to.be.below(0.6);
  });

  it("gives the standard error of a mean", () => {
    expect(estimateOf([1, 2, 3, 4])).to.deep.equal({ mean: 2.5, standardError: Math.sqrt(5 / 3 / 4) });
  });
});

describe("the spectral density", () => {
  it("has Gauss quadrature's moments: zᵀAᵏz / n, exact up to twice the steps", async () => {
    const { points } = await spectralDensity(apply, start(), { probes: 1, steps: 8, rng: new Rng(5) });
    const z = new Float64Array(n);
    new Rng(5).fillSigns(z);
    let power: Float64Array = z;
    for (let k = 0; k < 12; k++) {
      const moment = points.reduce((sum, { value, weight }) => sum + weight * value ** k, 0);
      const exact = dot(z, power) / n;
      expect(Math.abs(moment - exact)).to.be.below(1e-9 * Math.max(1, Math.abs(exact)));
      power = (await apply(power)) as Float64Array;
    }
  });

  it("is smoothed to an integral of 1", async () => {
    const curve = smoothedDensity(await spectralDensity(apply, start(), { probes: 3, steps: 20, rng: new Rng(6) }));
    const step = curve[1]!.value - curve[0]!.value;
    expect(curve.reduce((sum, { density }) => sum + density * step, 0)).to.be.closeTo(1, 1e-3);
  });
});
