import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readManifest, writeManifest } from "../../src/format/manifest.js";
import { SafetensorsFile } from "../../src/format/safetensors.js";
import { Engine } from "../../src/runtime/engine.js";
import { PackageRuntime } from "../../src/runtime/runtime.js";
import { logisticBatch, logisticPackage } from "../support/logistic.js";
import { refusal } from "../support/refusal.js";

describe("runtime in a worker", () => {
  let folder: string;
  before(() => {
    folder = logisticPackage();
  });
  after(() => rmSync(folder, { recursive: true }));

  it("gives what the engine gives, leaves the caller's batch alone and the event loop free", async () => {
    const runtime = await PackageRuntime.open(folder, { seed: 3, threads: 1 });
    const engine = await Engine.open(folder, { seed: 3, threads: 1 });
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const whole = logisticBatch(64, "whole");
    for (let t = 0; t < 5; t++) {
      const batch = logisticBatch(8, t);
      const [a, b] = [await runtime.step(batch), await engine.step([batch])];
      expect(a).to.deep.equal(b);
      expect(batch.feeds.x.data).to.have.length(40);
    }
    const big = logisticBatch(200_000, "big");
    const before = turns;
    const pending = runtime.step([big, big]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await runtime.counters()).to.include({ step: 6 });
    expect((await pending).step).to.equal(6);
    expect(turns).to.be.above(before + 2);
    clearInterval(timer);
    await engine.step([big, big]);
    expect(await runtime.evaluate(whole)).to.deep.equal(await engine.evaluate(whole));
    expect((await runtime.forward({ feeds: { x: whole.feeds.x } })).score!.dims).to.deep.equal([64, 1]);
    expect(await runtime.read()).to.deep.equal(engine.read(["w", "b", "scale"]));
    await engine.close();
    await runtime.close();
    expect(await runtime.step(whole).catch((e: unknown) => String(e))).to.contain("the worker of the runtime ended");
  });

  it("carries errors over as they are, and goes on", async () => {
    const runtime = await PackageRuntime.open(folder, { threads: 1 });
    const { x } = logisticBatch(4, 0).feeds;
    expect(await refusal(runtime.step({ feeds: { x } }))).to.contain('the batch has no "labels"');
    expect(await refusal(runtime.saveState(join(folder, "no", "s.safetensors")))).to.contain("no such file or folder");
    expect(await refusal(runtime.write({ v: { dtype: "float32", dims: [], data: new Float32Array(1) } }))).to.contain(
      '"v"',
    );
    expect((await runtime.step(logisticBatch(4, 0))).step).to.equal(1);
    await runtime.close();
    await runtime.close();
  });

  it("writes weights in the package's layout, and takes values back", async () => {
    const runtime = await PackageRuntime.open(folder, { threads: 1 });
    await runtime.step(logisticBatch(4, 0));
    const path = join(folder, "trained.safetensors");
    await runtime.saveWeights(path);
    const { w } = await runtime.read(["w"]);
    SafetensorsFile.using(path, (file) => {
      expect([...file.entries.keys()]).to.have.members(["w", "b", "scale", "x_mean"]);
      expect(file.float32("w")).to.deep.equal(w!.data);
    });
    w!.data.fill(7 as never);
    await runtime.write({ w: w! });
    expect((await runtime.read(["w"])).w!.data[0]).to.equal(7);
    await runtime.close();
  });

  it("does not keep the process alive when nobody closes it", () => {
    const script = `
      const { PackageRuntime } = await import(${JSON.stringify(new URL("../../src/runtime/runtime.js", import.meta.url).href)});
      const runtime = await PackageRuntime.open(${JSON.stringify(folder)}, { threads: 1 });
      console.log(await runtime.counters());`;
    const out = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
      encoding: "utf8",
      timeout: 20_000,
    });
    expect(out).to.contain("step: 0");
  });

  it("goes on after `close` in a process that has nothing else to do", () => {
    const script = `
      const { PackageRuntime } = await import(${JSON.stringify(new URL("../../src/runtime/runtime.js", import.meta.url).href)});
      const runtime = await PackageRuntime.open(${JSON.stringify(folder)}, { threads: 1 });
      await runtime.close();
      console.log("after");`;
    const out = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
      encoding: "utf8",
      timeout: 20_000,
    });
    expect(out).to.contain("after");
  });

  describe("refuses a damaged package in one line", () => {
    let copy: string;
    beforeEach(() => {
      copy = mkdtempSync(join(tmpdir(), "curvsam-damaged-"));
      cpSync(folder, copy, { recursive: true });
    });
    afterEach(() => rmSync(copy, { recursive: true }));
    const open = () => PackageRuntime.open(copy, { threads: 1 });
    const firstStep = async () => {
      const runtime = await open();
      try {
        await runtime.step(logisticBatch(4, 0));
      } finally {
        await runtime.close();
      }
    };

    it("no folder at all", async () => {
      expect(await refusal(PackageRuntime.open(join(copy, "no")))).to.contain("manifest.json: cannot read");
    });
    it("weights that are cut off", async () => {
      truncateSync(join(copy, "weights.safetensors"), 300);
      expect(await refusal(open())).to.match(/weights\.safetensors: .*truncated/);
    });
    it("weights of another model", async () => {
      const manifest = readManifest(copy);
      manifest.parameters.w!.shape = [1000, 1000];
      writeManifest(copy, manifest);
      expect(await refusal(open())).to.contain('"w" is float32[5,1]; "w" is float32[1000,1000] in manifest.json');
    });
    it("a graph that is not there", async () => {
      rmSync(join(copy, "curvature_step.onnx"));
      expect(existsSync(join(copy, "step.onnx"))).to.equal(true);
      expect(await refusal(firstStep())).to.contain("curvature_step.onnx: the package lacks this graph");
    });
    it("a graph that is no graph", async () => {
      writeFileSync(join(copy, "curvature_step.onnx"), "not ONNX");
      expect(await refusal(firstStep())).to.contain("curvature_step.onnx: ONNX Runtime cannot open it");
    });
    it("a graph whose inputs the manifest does not have", async () => {
      const manifest = readManifest(copy);
      Reflect.deleteProperty(manifest.hyper, "hyper/rho");
      writeManifest(copy, manifest);
      expect(await refusal(firstStep())).to.contain('curvature_step.onnx: input "hyper/rho" is not in manifest.json');
    });
    it("a state without end", async () => {
      const manifest = readManifest(copy);
      manifest.state["state/huge"] = { dtype: "float32", shape: [1_000_000_000, 1000], init: { fill: 0 } };
      writeManifest(copy, manifest);
      expect(await refusal(open())).to.match(
        /parameters and state take 4000\.0 GB, \d+\.\d GB are free; patch the model/,
      );
    });
  });
});
