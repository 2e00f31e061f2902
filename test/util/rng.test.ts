import { expect } from "chai";
import { Rng } from "../../src/util/rng.js";

const draws = (rng: Rng, n: number): number[] => Array.from({ length: n }, () => rng.bits());

describe("Rng", () => {
  it("repeats for the same key and differs for another", () => {
    expect(draws(new Rng(1, "a"), 8)).to.deep.equal(draws(new Rng(1, "a"), 8));
    const streams = [
      new Rng(1),
      new Rng(2),
      new Rng(1, "a"),
      new Rng(1, "b"),
      new Rng(1, 0),
      new Rng(0, 1),
      new Rng("1"),
    ];
    expect(new Set(streams.map((rng) => draws(rng, 2).join())).size).to.equal(streams.length);
  });

  it("goes on from a saved state through JSON", () => {
    const rng = new Rng(7);
    draws(rng, 13);
    const saved: unknown = JSON.parse(JSON.stringify(rng.state()));
    const expected = draws(rng, 20);
    const other = new Rng(8);
    other.restore(saved);
    expect(draws(other, 20)).to.deep.equal(expected);
    expect(() => other.restore([1, 2])).to.throw(/damaged/);
  });

  it("permutes", () => {
    const order = new Rng(3).permutation(100);
    expect([...order].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 100 }, (_, i) => i));
    expect([...order]).not.to.deep.equal([...new Rng(4).permutation(100)]);
    expect([...new Rng(3).permutation(0)]).to.deep.equal([]);
  });

  it("permutes three elements in all six orders alike", () => {
    const counts = new Map<string, number>();
    const n = 6000;
    for (let i = 0; i < n; i++) {
      const key = new Rng(i).permutation(3).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    // Each count is binomial(6000, 1/6): 1000 with a standard error of 28.9; the bound is 4 of them.
    expect([...counts.values()]).to.have.length(6);
    for (const count of counts.values()) expect(Math.abs(count - n / 6)).to.be.below(4 * Math.sqrt((n * 5) / 36));
  });

  it("draws normals with the right moments, within 4 standard errors", () => {
    const n = 200_001;
    const values = new Float64Array(n);
    new Rng(11).fillNormal(values);
    const mean = (f: (x: number) => number): number => values.reduce((sum, x) => sum + f(x), 0) / n;
    expect(Math.abs(mean((x) => x))).to.be.below(4 * Math.sqrt(1 / n));
    expect(Math.abs(mean((x) => x * x) - 1)).to.be.below(4 * Math.sqrt(2 / n));
    expect(Math.abs(mean((x) => x ** 4) - 3)).to.be.below(4 * Math.sqrt(96 / n));
    const lag = values.reduce((sum, x, i) => sum + x * (values[i + 1] ?? 0), 0) / n;
    expect(Math.abs(lag)).to.be.below(4 * Math.sqrt(1 / n));
  });

  it("draws signs that balance, neighbours included", () => {
    const n = 240_005;
    const values = new Float32Array(n);
    new Rng(5).fillSigns(values);
    expect([...new Set(values)].sort()).to.deep.equal([-1, 1]);
    for (const lag of [0, 1, 2, 23, 24, 25]) {
      const sum = values.reduce((s, x, i) => s + x * (lag === 0 ? 1 : (values[i + lag] ?? 0)), 0);
      expect(Math.abs(sum / Math.sqrt(n)), `lag ${lag}`).to.be.below(4);
    }
  });
});
