import { expect } from "chai";
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { newModel } from "../../src/ir/graph.js";
import { patch } from "../../src/pack/patch.js";
import { saveModel } from "../../src/serde/index.js";
import { perceptron } from "../support/nets.js";
import type { StepMemoryAnswer } from "../support/step_memory_process.js";
import { temporaryFolder } from "../support/temp.js";

describe("the estimate of memory", () => {
  const work = temporaryFolder();

  /** Two steps of a perceptron whose activations are all that counts, in a process of their own. */
  async function take(optimizer: "none" | "sam"): Promise<StepMemoryAnswer> {
    const [width, rows] = [64, 160_000];
    const model = join(work.path, "perceptron.onnx");
    saveModel(newModel(perceptron(width, 5)), model);
    const folder = join(work.path, optimizer);
    await patch(model, folder, { loss: { kind: "cross-entropy" }, optimizer, base: "adamw" });
    const child = fork(new URL("../support/step_memory_process.js", import.meta.url), [folder, String(rows)]);
    const [answer] = (await once(child, "message")) as [StepMemoryAnswer];
    return answer;
  }

  for (const optimizer of ["none", "sam"] as const) {
    it(`is within a tenth of the peak of a process, ${optimizer} over AdamW`, async function () {
      if (!existsSync("/proc/self/status")) this.skip();
      const { estimated, measured } = await take(optimizer);
      // Activations of 41 MB, several of each layer.
      expect(estimated).to.be.above(200e6);
      expect(estimated / measured).to.be.within(0.9, 1.1);
    });
  }
});
