import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as metrics from "../../src/train/metrics.js";
import { root } from "../support/root.js";

interface Fixtures {
  classes: {
    name: string;
    labels: number[];
    predicted: number[];
    accuracy: number;
    binary: number | null;
    macro: number;
    micro: number;
    matthews: number;
  }[];
  scores: { name: string; labels: number[]; scores: number[]; auc: number; ap: number }[];
  top: { name: string; labels: number[]; logits: number[]; k: number; accuracy: number }[];
  pairs: {
    name: string;
    x: number[];
    y: number[];
    pearson: number | null;
    spearman: number | null;
    mse: number;
    rmse: number;
  }[];
}

const fixtures = JSON.parse(readFileSync(join(root, "test", "fixtures", "metrics.json"), "utf8")) as Fixtures;

function same(actual: number, expected: number | null, tolerance = 1e-12): void {
  if (expected === null) expect(actual).to.be.NaN;
  else expect(actual).to.be.closeTo(expected, tolerance * Math.max(1, Math.abs(expected)));
}

describe("metrics", () => {
  for (const { name, labels, predicted, ...expected } of fixtures.classes) {
    it(`equal scikit-learn's on classes: ${name}`, () => {
      same(metrics.accuracy(predicted, labels), expected.accuracy);
      if (expected.binary !== null) same(metrics.f1(predicted, labels), expected.binary);
      same(metrics.f1(predicted, labels, "macro"), expected.macro);
      same(metrics.f1(predicted, labels, "micro"), expected.micro);
      same(metrics.matthews(predicted, labels), expected.matthews);
    });
  }
  for (const { name, labels, scores, auc, ap } of fixtures.scores) {
    it(`equal scikit-learn's on scores: ${name}`, () => {
      same(metrics.rocAuc(scores, labels), auc);
      same(metrics.averagePrecision(scores, labels), ap);
    });
  }
  for (const { name, labels, logits, k, accuracy } of fixtures.top) {
    it(`equal scikit-learn's of the top k: ${name}`, () => {
      same(metrics.topAccuracy(logits, labels, k), accuracy);
    });
  }
  for (const { name, x, y, ...expected } of fixtures.pairs) {
    it(`equal SciPy's on pairs: ${name}`, () => {
      same(metrics.pearson(x, y), expected.pearson, name === "far from zero" ? 1e-9 : 1e-12);
      same(metrics.spearman(x, y), expected.spearman);
      same(metrics.meanSquaredError(x, y), expected.mse);
      same(metrics.rootMeanSquaredError(x, y), expected.rmse);
    });
  }

  it("say NaN where a measure is undefined", () => {
    expect(metrics.rocAuc([0.1, 0.2], [1, 1])).to.be.NaN;
    expect(metrics.rocAuc([0.1, NaN], [0, 1])).to.be.NaN;
    expect(metrics.averagePrecision([0.1, 0.2], [0, 0])).to.be.NaN;
    expect(metrics.averagePrecision([0.1, NaN], [0, 1])).to.be.NaN;
    expect(metrics.spearman([1, NaN, 3], [1, 2, 3])).to.be.NaN;
    expect(metrics.pearson([1, NaN, 3], [1, 2, 3])).to.be.NaN;
    expect(() => metrics.accuracy([], [])).to.throw(/no examples/);
  });

  it("count no label among the top where a logit is NaN or the label's is not above enough others", () => {
    expect(metrics.topAccuracy([NaN, 1, 2, 3, 3, 3], [0, 2], 1)).to.equal(0.5);
    expect(metrics.topAccuracy([NaN, 1, 2, NaN, 1, 2], [1, 2], 2)).to.equal(0.5);
    expect(() => metrics.topAccuracy([], [], 5)).to.throw(/no examples/);
  });

  it("take the largest logit, the first of equals, and show a NaN", () => {
    expect([...metrics.argmaxRows([0, 1, 2, 2, 1, 0, 5, 5, 5], 3)]).to.deep.equal([2, 0, 0]);
    expect([...metrics.argmaxRows([0, NaN, 9, NaN, 1, 2], 3)]).to.deep.equal([1, 0]);
  });

  it("weigh the loss of batches", () => {
    expect(
      metrics.meanLoss([
        { sum: 6, weight: 3 },
        { sum: 1, weight: 1 },
      ]),
    ).to.equal(7 / 4);
  });

  it("summarise a classifier, leaving out ignored labels", () => {
    const logits = [2, 0, 0, 1, 3, 0, 0, 4];
    const summary = metrics.classifierMetrics(logits, [0, 1, -100, 0], 2, -100);
    expect(summary).to.have.all.keys("accuracy", "matthews", "f1", "auc");
    same(summary["accuracy"]!, 2 / 3);
    same(summary["f1"]!, 2 / 3);
    same(summary["auc"]!, 1 / 2);
    expect(metrics.classifierMetrics([1, 0, 0, 0, 1, 0, 0, 0, 1], [0, 1, 2], 3)).to.deep.equal({
      accuracy: 1,
      matthews: 1,
      f1_macro: 1,
    });
  });

  it("count what was taken for what, without what is ignored", () => {
    const [predicted, labels] = [
      [0, 1, 1, 2, 0, 1],
      [0, 1, 0, 2, 2, -1],
    ];
    expect(metrics.confusionMatrix(predicted, labels, 3, -1)).to.deep.equal([
      [1, 1, 0],
      [0, 1, 0],
      [1, 0, 1],
    ]);
  });

  it("summarise a regressor", () => {
    const summary = metrics.regressorMetrics([1, 2, 3], [2, 4, 6]);
    same(summary["pearson"]!, 1);
    same(summary["spearman"]!, 1);
    same(summary["mse"]!, 14 / 3);
  });
});
