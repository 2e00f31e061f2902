import { expect } from "chai";
import { join } from "node:path";
import { newModel, tensorType, Value } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";
import * as e from "../../src/ops/emit.js";
import { patch, type PatchOptions } from "../../src/pack/patch.js";
import { htmlReport } from "../../src/report/html.js";
import { readRunLog } from "../../src/report/run_log.js";
import { PackageRuntime } from "../../src/runtime/runtime.js";
import { saveModel } from "../../src/serde/index.js";
import { fit } from "../../src/train/fit.js";
import { features } from "../support/logistic.js";
import { LogisticSource } from "../support/source.js";
import { temporaryFolder } from "../support/temp.js";

/** The Hessian's diagonal; off it there is nothing, so that z ⊙ Hz is the diagonal itself for Rademacher's z. */
const diagonal = [4, -1, 0.5, 2, 0.25];
const mean = diagonal.reduce((sum, a) => sum + Math.abs(a), 0) / features;

/** The loss ½ Σ aⱼwⱼ² − mean over the batch of xᵢᵀw. */
function separable() {
  const b = newBuilder("separable");
  const x = b.input("x", tensorType("float32", ["batch", features]));
  const w = new Value("weight", tensorType("float32", [features]));
  b.graph.initializers.set(w, Tensor.of("float32", [features], [1, 0.5, -1, 0.2, 0.7]));
  const a = b.constant(Tensor.of("float32", [features], diagonal));
  const curved = e.scale(b, e.reduceSum(b, e.mul(b, a, e.square(b, w)), [0], false), 0.5);
  const linear = e.reduceSum(b, e.mul(b, e.reduceMean(b, x, [0], false), w), [0], false);
  b.output(e.sub(b, curved, linear), "loss");
  return b.graph;
}

describe("the curvature that fit logs", () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder.path, name);
  before(() => saveModel(newModel(separable()), at("model.onnx")));

  async function logged(name: string, options: PatchOptions) {
    await patch(at("model.onnx"), at(name), { ...options, loss: { kind: "output", output: "loss" } });
    const runtime = await PackageRuntime.open(at(name), { threads: 1, seed: 3 });
    const train = new LogisticSource(32, 4);
    train.onBatch = ({ feeds }) => delete feeds["labels"];
    const log = at(`${name}.jsonl`);
    await fit({ runtime, train, epochs: 1, hyper: { lr: 0.001 }, log, curvatureEvery: 2 });
    await runtime.close();
    return readRunLog(log);
  }

  it("is the mean of the diagonal, whoever keeps it, and has a heat map each", async () => {
    const log = await logged("both", {
      ...{ optimizer: "curvsam", base: "adahessian" },
      optimizerOptions: { probe: "rademacher", initial: "zero" },
    });
    expect([...log.curvature.keys()]).to.deep.equal(["curvature", "adahessian_v"]);
    for (const tracks of log.curvature.values()) {
      const track = tracks.get("weight")!;
      expect(track.map(([step]) => step)).to.deep.equal([2, 4, 6, 8]);
      for (const [, value] of track) expect(value).to.be.closeTo(mean, 1e-4);
    }
    expect(log.elements).to.deep.equal({ weight: features });
    const html = await htmlReport("run", [{ name: "run", log }], "a test");
    expect(html).to.include('<img alt="Curvature by layer"').and.to.include("Curvature by layer of AdaHessian");
  });

  it("is SASSHA's too", async () => {
    const log = await logged("sassha", { optimizer: "sam", base: "sassha" });
    expect([...log.curvature.keys()]).to.deep.equal(["sassha_v"]);
    for (const [, value] of log.curvature.get("sassha_v")!.get("weight")!) expect(value).to.be.closeTo(mean, 1e-4);
    const html = await htmlReport("run", [{ name: "run", log }], "a test");
    expect(html).to.include("Curvature by layer of SASSHA");
  });
});
