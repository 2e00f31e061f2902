import { expect } from "chai";
import { newModel } from "../../src/ir/graph.js";
import { dce } from "../../src/passes/dce.js";
import { serializeModel } from "../../src/serde/index.js";
import type { Array64 } from "../reference/array.js";
import { outputsOf } from "../reference/evaluate.js";
import { conventions, emitPoint, gradientsAt, type ConventionPoint } from "../support/conventions.js";
import { runOnce } from "../support/ort.js";

function expectPoint(point: ConventionPoint, outputs: Record<string, Array64>, tolerance: number): void {
  gradientsAt(point, outputs).forEach((got, i) =>
    point.gradients[i]!.forEach((expected, j) => {
      const what = `gradient ${i}, element ${j}`;
      if (expected === "Infinity") expect(got[j], what).to.equal(Infinity);
      else expect(got[j], what).to.be.closeTo(expected, tolerance);
    }),
  );
  if (point.singular) return;
  for (const [name, x] of Object.entries(outputs))
    expect(Array.from(x.data).every(Number.isFinite), name).to.equal(true);
}

describe("derivatives at kinks, ties and saturation are PyTorch's", () => {
  for (const point of conventions.points)
    it(`${point.op}: ${point.name}`, async () => {
      const exact = emitPoint(point, "float64");
      expectPoint(point, outputsOf(exact.graph, exact.feeds), 1e-7);
      const { graph, opset, feeds } = emitPoint(point, "float32");
      dce(graph);
      if (graph.outputs.length === 0) return;
      expectPoint(point, await runOnce(serializeModel(newModel(graph, opset)), feeds), 1e-5);
    });
});
