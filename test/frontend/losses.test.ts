import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gradient, hvpOfGradient } from "../../src/autodiff/hvp.js";
import { emitLoss, randomScore, type LossOptions } from "../../src/frontend/losses.js";
import { tensorType } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import { must } from "../../src/util/assert.js";
import { array } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { rejects } from "../support/rejects.js";
import { root } from "../support/root.js";

interface Case {
  name: string;
  options: LossOptions;
  logits: { dims: number[]; data: number[] };
  labels: { dims: number[]; data: number[] };
  loss: number;
  gradient: number[];
}
const fixture = JSON.parse(readFileSync(join(root, "test", "fixtures", "losses.json"), "utf8")) as { cases: Case[] };

function lossAndGradient(
  c: Case,
  shift: readonly number[] = [],
): { loss: number; grad: Float64Array; product: Float64Array } {
  const b = newBuilder("loss");
  const classes = c.options.kind === "cross-entropy";
  const logits = b.input("logits", tensorType("float64", c.logits.dims));
  const labels = b.input("labels", tensorType(classes ? "int64" : "float64", c.labels.dims));
  const direction = b.input("direction", tensorType("float64", c.logits.dims));
  const { loss } = emitLoss(b, c.options, logits, labels);
  const grads = gradient(b, loss, [logits]);
  const grad = must(grads[0], "gradient");
  const product = must(hvpOfGradient(b, grads, [logits], [direction])[0], "product");
  const x = c.logits.data.map((v, i) => v + (shift[i] ?? 0));
  const values = evaluate(b.graph, {
    logits: array("float64", c.logits.dims, x),
    labels: array(classes ? "int64" : "float64", c.labels.dims, c.labels.data),
    direction: array("float64", c.logits.dims, direct(c)),
  });
  const data = (v: typeof loss): Float64Array => must(values.get(v), v.name).data;
  return { loss: data(loss)[0] ?? NaN, grad: data(grad), product: data(product) };
}

const direct = (c: Case): number[] => c.logits.data.map((_, i) => Math.cos(3 * i + 1));

describe("losses", () => {
  for (const c of fixture.cases) {
    it(`${c.options.kind}, ${c.name}: value and gradient as PyTorch's in float64`, () => {
      const { loss, grad } = lossAndGradient(c);
      expect(loss).to.be.closeTo(c.loss, 1e-12 * Math.max(1, Math.abs(c.loss)));
      expect(grad.length).to.equal(c.gradient.length);
      c.gradient.forEach((g, i) => expect(grad[i]).to.be.closeTo(g, 1e-12));
    });
    it(`${c.options.kind}, ${c.name}: Hessian-vector product as differences of the gradient`, () => {
      const r = 1e-5;
      const ahead = lossAndGradient(
        c,
        direct(c).map((d) => r * d),
      ).grad;
      const behind = lossAndGradient(
        c,
        direct(c).map((d) => -r * d),
      ).grad;
      lossAndGradient(c).product.forEach((p, i) => {
        expect(p).to.be.closeTo(((ahead[i] ?? NaN) - (behind[i] ?? NaN)) / (2 * r), 1e-8);
      });
    });
  }

  it("is 0, with a zero gradient, where every label is ignored", () => {
    const c = must(fixture.cases[0], "a case");
    const ignored = { ...c, labels: { dims: c.labels.dims, data: c.labels.data.map(() => -100) } };
    const { loss, grad } = lossAndGradient(ignored);
    expect(loss).to.equal(0);
    expect([...grad].every((g) => g === 0)).to.equal(true);
  });

  it("draws the same score at certain probabilities as at their classes", () => {
    const c = must(fixture.cases[0], "a case");
    const [rows = 0, classes = 0] = c.logits.dims;
    const likely = Array.from({ length: rows * classes }, (_, k) =>
      Number(c.labels.data[Math.trunc(k / classes)] === k % classes),
    );
    for (const noise of ["labels", "signs"] as const) {
      const scores = (["cross-entropy", "soft-cross-entropy"] as const).map((kind) => {
        const soft = kind === "soft-cross-entropy";
        const b = newBuilder("score");
        const logits = b.input("logits", tensorType("float64", c.logits.dims));
        const dims = soft ? c.logits.dims : c.labels.dims;
        const labels = b.input("labels", tensorType(soft ? "float64" : "int64", dims));
        const noiseDims = noise === "labels" ? [rows] : c.logits.dims;
        const drawn = b.input("noise", tensorType("float64", noiseDims));
        const score = randomScore(noise, b, { kind, classWeights: [0.5, 2, 1.25] }, logits, labels, drawn);
        const values = evaluate(b.graph, {
          logits: array("float64", c.logits.dims, c.logits.data),
          labels: array(soft ? "float64" : "int64", dims, soft ? likely : c.labels.data),
          noise: array("float64", noiseDims, noise === "labels" ? [0.1, 0.9, 0.4, 0.7, 0.2] : direct(c).map(Math.sign)),
        });
        return must(values.get(score), "score").data;
      });
      const [hard, soft] = scores as [Float64Array, Float64Array];
      // With class weights the means differ in what they divide by: their sum, or the rows.
      const weight = c.labels.data.reduce((sum, label) => sum + [0.5, 2, 1.25][label]!, 0);
      expect(hard.some((v) => v !== 0)).to.equal(true);
      hard.forEach((v, i) => expect(soft[i]).to.be.closeTo((v * weight) / rows, 1e-12));
    }
  });

  it("refuses class weights for another number of classes", async () => {
    const c = must(fixture.cases[0], "a case");
    await rejects(
      () => lossAndGradient({ ...c, options: { kind: "cross-entropy", classWeights: [1, 2] } }),
      "2 class weights for 3 classes",
    );
  });
});
