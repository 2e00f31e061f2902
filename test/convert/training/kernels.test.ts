import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { trainingOps } from "../../../src/convert/training/index.js";
import { must } from "../../../src/util/assert.js";
import { onTrainingBuild } from "../../support/artifacts.js";
import { root } from "../../support/root.js";
import { runGraph } from "../../support/run_graph.js";
import { cases, modelOf } from "./cases.js";
import { lowered } from "./lower.js";

const names = Object.keys(cases);

describe("training operators in standard ones, against the kernels of ONNX Runtime 1.19.2", () => {
  let expected: ReadonlyMap<string, readonly ArrayLike<number>[]>;
  let found: ReadonlyMap<string, ArrayLike<number>>;

  before(async function () {
    this.timeout(60000);
    const { model, feeds, outputs } = modelOf(names);
    const results = await onTrainingBuild(model, feeds);
    expected = new Map(
      [...outputs].map(([name, values]) => [
        name,
        values.map((v) => must(results.get(v.name), v.name).data as Float32Array),
      ]),
    );
    const graph = await lowered(names);
    for (const node of graph.nodes) expect(node.domain, node.label).to.equal("");
    found = await runGraph(graph, feeds);
  });

  for (const name of names) {
    it(name, () => {
      const values = must(expected.get(name), name);
      expect(values.length).to.be.above(0);
      values.forEach((x, i) => {
        const y = must(found.get(`${name}/${i}`), name);
        expect(y.length, `output ${i}`).to.equal(x.length);
        for (let k = 0; k < x.length; k++) {
          const [a, b] = [Number(x[k]), Number(y[k])];
          expect(Math.abs(a - b) / Math.max(1, Math.abs(a)), `output ${i}, element ${k}: ${a}, ${b}`).to.be.at.most(
            1e-5,
          );
        }
      });
    });
  }

  it("holds a case of every operator but those that have no kernel there", () => {
    const { model } = modelOf(names);
    const seen = new Set(model.graph.nodes.map((n) => n.op));
    expect(
      Object.keys(trainingOps)
        .filter((op) => !seen.has(op))
        .sort(),
    ).to.deep.equal([
      "BatchScale",
      "BiasDropout",
      "BitmaskBiasDropout",
      "BitmaskDropout",
      "BitmaskDropoutGrad",
      "ConvTransposeGrad",
      "GatherNDGrad",
      "Group",
      "PassThrough",
      "ResizeGrad",
      "ScaledSum",
      "ShrunkenGather",
      "SoftmaxCrossEntropyGrad",
      "YieldOp",
    ]);
  });

  it("is listed in docs/ORT_TRAINING.md, every operator", () => {
    const text = readFileSync(join(root, "docs", "ORT_TRAINING.md"), "utf8");
    const named = new Set(text.match(/\w+/g));
    expect(Object.keys(trainingOps).filter((op) => !named.has(op))).to.deep.equal([]);
  });
});
