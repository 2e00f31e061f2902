import { expect } from "chai";
import { rmSync } from "node:fs";
import { readManifest } from "../../src/format/manifest.js";
import type { EngineOptions } from "../../src/runtime/options.js";
import { stepMemory } from "../../src/runtime/step_memory.js";
import { engines } from "../support/engines.js";
import { features, logisticBatch, logisticPackage } from "../support/logistic.js";
import { refusal } from "../support/refusal.js";

/** Runs `body` on a machine that has `bytes` of memory left. */
async function withFree<T>(bytes: number, body: () => Promise<T>): Promise<T> {
  const real = process.availableMemory.bind(process);
  process.availableMemory = () => bytes;
  try {
    return await body();
  } finally {
    process.availableMemory = real;
  }
}

describe("memory before the first step", () => {
  let folder: string;
  const openEngine = engines({ threads: 1 });
  before(() => {
    folder = logisticPackage();
  });
  after(() => rmSync(folder, { recursive: true }));

  it("counts the buffers of steps, fused and phase by phase", async () => {
    const batch = 8;
    const manifest = readManifest(folder);
    const memory = async (fused: boolean, micro: number) => {
      const kind = { fused, micro, lowered: undefined };
      const { buffers, sessions, run } = await stepMemory(folder, manifest, new Map([["batch", batch]]), kind);
      expect(sessions).to.be.above(10_000);
      return { buffers, run };
    };
    const parameters = 4 * (features + 1);
    // Parameters, momentum, curvature; the running mean and the step; the probe, and a mask of bytes.
    const renewed = 3 * parameters + 4 * features + 4;
    const random = parameters + batch * features;
    expect((await memory(true, 1)).buffers).to.equal(renewed + random);
    // The gradient and the HVP, which the second gradient takes the place of; w + ε goes where the next w will.
    const phases = renewed + random + 2 * parameters;
    expect((await memory(false, 1)).buffers).to.equal(phases);
    expect((await memory(false, 2)).buffers).to.equal(phases + 2 * parameters);
    // At the least what every pass needs: the input scaled, masked, divided.
    expect((await memory(true, 1)).run).to.be.within(4 * batch * features, 200 * batch * features);
  });

  it("refuses a step that needs more than is free, in one line, and takes it where it is told to", async () => {
    const big = logisticBatch(1 << 16, "big");
    for (const driver of ["fused", "phases"] as const) {
      const engine = await openEngine(folder, { driver });
      const message = await withFree(3_000_000, () => refusal(engine.step([big])));
      expect(message).to.match(
        /^memory: a step \(batch 65536\) needs about 0\.\d GB .* smaller batches .*--ignore-memory/,
      );
      expect((await withFree(3_000_000, () => engine.step([logisticBatch(2, "small")]))).step).to.equal(1);
    }
    const engine = await openEngine(folder, { ignoreMemory: true });
    expect((await withFree(0, () => engine.step([big]))).step).to.equal(1);
  });

  it("refuses to open a package of more parameters and state than memory holds", async () => {
    const open = (options: EngineOptions = {}) => withFree(100, () => openEngine(folder, options));
    expect(await refusal(open())).to.contain("parameters and state take 0.0 GB, 0.0 GB are free; patch the model with");
    await open({ ignoreMemory: true });
  });
});
