import { expect } from "chai";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { tensorType, Value, type Graph } from "../../src/ir/graph.js";
import { newModel } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";
import { patch } from "../../src/pack/patch.js";
import { PackageRuntime } from "../../src/runtime/runtime.js";
import { saveModel } from "../../src/serde/index.js";
import { fit } from "../../src/train/fit.js";
import { nextLossScale } from "../../src/train/loss_scale.js";
import type { FitOptions } from "../../src/train/options.js";
import { features } from "../support/logistic.js";
import { refusal } from "../support/refusal.js";
import { LogisticSource } from "../support/source.js";
import { temporaryFolder } from "../support/temp.js";

/** y = x w + b. */
function linear(): Graph {
  const b = newBuilder("linear");
  const x = b.input("x", tensorType("float32", ["batch", features]));
  const parameter = (name: string, dims: number[], values: number[]): Value => {
    const value = new Value(name, tensorType("float32", dims));
    b.graph.initializers.set(value, Tensor.of("float32", dims, values));
    return value;
  };
  const w = parameter("w", [features, 1], [0.1, -0.2, 0.3, 0.2, -0.1]);
  b.output(b.op("Add", [b.op("MatMul", [x, w]), parameter("b", [1], [0])]), "y");
  return b.graph;
}

describe("dynamic scaling of the loss", () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder.path, name);
  const packaged = async (name: string, scale?: number): Promise<string> => {
    if (!existsSync(at(name))) {
      saveModel(newModel(linear()), at("model.onnx"));
      await patch(at("model.onnx"), at(name), {
        ...{ loss: { kind: "mse" }, optimizer: "sam", hyper: { lr: 0.01, ...(scale && { loss_scale: scale }) } },
      });
    }
    return at(name);
  };

  interface Step {
    event: string;
    wasSkipped: boolean;
    loss: number;
    perturbed_loss: number | null;
    grad_norm: number;
    "hyper/loss_scale": number;
  }
  const run = async (name: string, path: string, options: Partial<FitOptions>, stopAt = Infinity) => {
    const runtime = await PackageRuntime.open(path, { threads: 1 });
    try {
      const result = await fit({
        ...{ runtime, train: new LogisticSource(40, 4), epochs: 3, log: at(`${name}.jsonl`) },
        checkpoints: { folder: at(`${name} checkpoints`), every: 5 },
        callbacks: { onStep: ({ step }, moment) => (step >= stopAt ? moment.stop() : undefined) },
        ...options,
      });
      const { w } = await runtime.read(["w"]);
      const lines = readFileSync(at(`${name}.jsonl`), "utf8")
        .trimEnd()
        .split("\n");
      const steps = lines.map((line) => JSON.parse(line) as Step).filter(({ event }) => event === "step");
      return { result, w: Array.from(w?.data as Float32Array), steps };
    } finally {
      await runtime.close();
    }
  };

  it("halves on an overflow of either pass, which skips the step, and doubles after so many good ones; no bit else changes", async () => {
    // The second gradient is about 10⁷ times the first: at 2¹¹² it alone overflows.
    const growing = { hyper: { rho: 1e7, loss_scale: 2 ** 112, lr: 1e-12 }, lossScale: { growthInterval: 4 } };
    const { steps, result } = await run("overflowing", await packaged("scaled", 1), { ...growing, maxSkips: 1 });
    expect(steps[0]).to.include({ wasSkipped: true, "hyper/loss_scale": 2 ** 112 });
    expect(steps[0]?.grad_norm).to.be.a("number");
    expect(steps[0]?.loss).to.be.a("number");
    let [scale, good] = [2 ** 112, 0];
    for (const step of steps) {
      expect(step["hyper/loss_scale"]).to.equal(scale);
      good = step.wasSkipped ? 0 : good + 1;
      if (step.wasSkipped) scale /= 2;
      if (good === 4) [scale, good] = [2 * scale, 0];
    }
    const skipped = steps.filter(({ wasSkipped }) => wasSkipped).length;
    expect(result.skipped).to.equal(skipped);
    // It came down, went up again, and came down from there.
    expect(steps.map(({ wasSkipped }) => Number(wasSkipped)).join("")).to.match(/^1+0.*100001/);

    const plain = await run("plain", await packaged("unscaled"), {});
    const small = await run("small", await packaged("scaled"), { lossScale: { growthInterval: 2 } });
    expect(small.steps.at(-1)?.["hyper/loss_scale"]).to.be.above(1000);
    expect(small.w).to.deep.equal(plain.w);
  });

  it("resumes where it stood, bit for bit", async () => {
    const options = { hyper: { rho: 1e7, loss_scale: 2 ** 112, lr: 1e-12 }, lossScale: { growthInterval: 4 } };
    const path = await packaged("scaled", 1);
    const whole = await run("whole", path, options);
    await run("halted", path, options, 7);
    const resumed = await run("halted", path, { ...options, resume: at("halted checkpoints") });
    expect(resumed.w).to.deep.equal(whole.w);
    expect(resumed.steps.map((s) => s["hyper/loss_scale"])).to.deep.equal(
      whole.steps.map((s) => s["hyper/loss_scale"]),
    );
  });

  it("never falls below 1, or below where it started; there, skips stop training again", async () => {
    expect(nextLossScale({ scale: 1.5, good: 3 }, true, {})).to.deep.equal({ scale: 1, good: 0 });
    expect(nextLossScale({ scale: 0.25, good: 3 }, true, {})).to.deep.equal({ scale: 0.25, good: 0 });
    const train = new LogisticSource(40, 4);
    train.onBatch = (batch) => (batch.feeds["x"]!.data[0] = NaN);
    const diverging = run("diverging", await packaged("scaled", 1), {
      ...{ train, maxSkips: 3, hyper: { loss_scale: 32 }, lossScale: {} },
    });
    expect(await refusal(diverging)).to.match(/not finite 6 times in a row/);
  });

  it("refuses a package that scales no loss, before it touches a file", async () => {
    const path = await packaged("unscaled");
    expect(await refusal(run("none", path, { lossScale: {} }))).to.match(/the package scales no loss; patch the model/);
    const zero = run("none", path, { lossScale: { growthInterval: 0 } });
    expect(await refusal(zero)).to.match(/lossScale.growthInterval: 0; a whole number from 1 on/);
    expect(existsSync(at("none.jsonl"))).to.equal(false);
  });
});
