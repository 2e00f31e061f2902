import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gradient, hvpOfGradient } from "../../src/autodiff/hvp.js";
import { emitLoss, type LossOptions } from "../../src/frontend/losses.js";
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

  it("refuses class weights for another number of classes", async () => {
    const c = must(fixture.cases[0], "a case");
    await rejects(
      () => lossAndGradient({ ...c, options: { kind: "cross-entropy", classWeights: [1, 2] } }),
      "2 class weights for 3 classes",
    );
  });
});
