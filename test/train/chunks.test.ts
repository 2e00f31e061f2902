import { expect } from "chai";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readManifest } from "../../src/format/manifest.js";
import type { StepsRoom } from "../../src/runtime/engine.js";
import { PackageRuntime } from "../../src/runtime/runtime.js";
import { Chunks, type ChunkOption } from "../../src/train/chunks.js";
import { fit } from "../../src/train/fit.js";
import type { FitOptions } from "../../src/train/options.js";
import { schedule } from "../../src/train/schedules.js";
import { logisticBatch, logisticPackage } from "../support/logistic.js";
import { refusal } from "../support/refusal.js";
import { LogisticSource } from "../support/source.js";

describe("training in runs of several steps", () => {
  let folder: string;
  let work: string;
  before(() => {
    folder = logisticPackage();
    work = mkdtempSync(join(tmpdir(), "curvsam-chunks-"));
  });
  after(() => [folder, work].forEach((each) => rmSync(each, { recursive: true })));

  type Changes = Partial<FitOptions> & { onBatch?: LogisticSource["onBatch"]; lowered?: undefined };
  /** Two epochs of 13 steps, evaluated every 10 and saved every 7; a period of the schedule is 3. */
  async function run(name: string, { onBatch, ...changes }: Changes) {
    const lowered = "lowered" in changes ? undefined : join(work, "lowered");
    const runtime = await PackageRuntime.open(folder, { threads: 1, seed: 2, lowered });
    const runs: number[] = [];
    const notes: string[] = [];
    const steps = runtime.steps.bind(runtime);
    runtime.steps = (batches, hyper) => {
      runs.push(batches.length);
      return steps(batches, hyper);
    };
    try {
      const train = new LogisticSource(100, 8);
      if (onBatch) train.onBatch = onBatch;
      const result = await fit({
        ...{ runtime, train, epochs: 2, evaluation: { source: new LogisticSource(32, 16, { key: "held out" }) } },
        ...{ evaluateEvery: 10, curvatureEvery: 13, schedules: { lr: schedule("cosine", { warmup: 3 }) } },
        checkpoints: { folder: join(work, name), every: 7, keep: 9 },
        log: join(work, `${name}.jsonl`),
        callbacks: { onNote: (line) => notes.push(line) },
        ...changes,
      });
      return { result, runs, notes, ...left(name) };
    } finally {
      await runtime.close();
    }
  }
  /** What a run leaves: the log without times, and every checkpoint. */
  function left(name: string) {
    const log = readFileSync(join(work, `${name}.jsonl`), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => ({ ...(JSON.parse(line) as object), seconds: 0 }));
    const saved = readdirSync(join(work, name)).map((checkpoint) => {
      const path = join(work, name, checkpoint);
      const state = {
        ...(JSON.parse(readFileSync(join(path, "trainer.json"), "utf8")) as object),
        seconds: 0,
        logBytes: 0,
        sha256: "",
      };
      return [checkpoint, state, readFileSync(join(path, "state.safetensors"), "base64")];
    });
    return { log, saved };
  }

  it("leaves the same log and the same checkpoints, bit for bit", async () => {
    const single = await run("single", { chunk: "off" });
    expect(single.runs).to.deep.equal([]);
    const chunked = await run("chunked", { chunk: 6 });
    // From 0 to the checkpoint at 7; from 9 to the evaluation at 10 there is no room; the first epoch ends at 13.
    expect(chunked.runs.slice(0, 2)).to.deep.equal([6, 3]);
    expect(chunked.runs.every((steps) => steps % 3 === 0 && steps <= 6)).to.equal(true);
    expect(chunked.log).to.deep.equal(single.log);
    expect(chunked.saved).to.deep.equal(single.saved);
    const looking = await run("looking", { chunk: 6, callbacks: { every: 5 } });
    // From 3 to 5 and from 9 to 10 there is no room for three steps.
    expect(looking.runs.slice(0, 2)).to.deep.equal([3, 3]);
    expect(looking.saved).to.deep.equal(single.saved);
    const auto = await run("auto", { chunk: "auto" });
    expect(auto.runs.length).to.be.above(0);
    expect(auto.saved).to.deep.equal(single.saved);
  });

  it("is the same over an interruption and a resume", async () => {
    const whole = await run("whole", { chunk: 3 });
    const abort = new AbortController();
    const first = await run("broken", {
      ...{ chunk: 3, signal: abort.signal },
      callbacks: { onStep: ({ step }) => step === 16 && abort.abort() },
    } as Changes);
    expect(first.result).to.include({ interrupted: true, step: 18 });
    await run("broken", { chunk: 3, resume: join(work, "broken") });
    const ends = [left("broken"), whole].map(({ saved }) => saved.at(-1)![2]);
    expect(ends[0]).to.equal(ends[1]);
  });

  it("takes a run back where a step is not finite, names that, and skips it as alone", async () => {
    const onBatch: LogisticSource["onBatch"] = (batch, index) => {
      if (index === 4) (batch.feeds.x!.data as Float32Array).fill(NaN);
    };
    const single = await run("nan-single", { chunk: "off", onBatch });
    const chunked = await run("nan-chunked", { chunk: 6, onBatch });
    expect(single.result.skipped).to.equal(1);
    expect(chunked.notes.join()).to.match(/^step 5: .* the run of 6 steps from 1 on is taken back/);
    expect(chunked.log).to.deep.equal(single.log);
    expect(chunked.saved).to.deep.equal(single.saved);
  });

  it("refuses numbers that no run can have, and takes steps one by one where runs cannot be", async () => {
    const refused = (changes: Changes) => refusal(run("refused", changes));
    expect(await refused({ chunk: 14 }))
      .to.contain("chunk: 14 steps, and an epoch has 13")
      .and.contain("use 13 at most");
    expect(await refused({ chunk: 2 })).to.contain("goes in cycles of 3");
    expect(await refused({ chunk: 1.5 })).to.contain("a whole number of steps");
    expect(await refused({ chunk: "sometimes" as ChunkOption })).to.contain("auto or off expected");
    expect(await refused({ chunk: 6, accumulate: 2 })).to.contain("steps of 2 micro-batches");
    const plain = await run("plain", { chunk: 6, lowered: undefined });
    expect(plain.runs).to.deep.equal([]);
    expect(plain.notes.join()).to.contain("steps are taken one by one");
  });

  it("takes as many steps as memory suffices for, and says what a number of them would need", async () => {
    const room: StepsRoom = { period: 5, steps: 12, once: 4e9, perStep: 0.5e9, available: 10e9 };
    const runtime = { roomForSteps: () => Promise.resolve(room), manifest: readManifest(folder), provider: "cpu" };
    const chunks = (option: ChunkOption): Chunks =>
      new Chunks(runtime as unknown as PackageRuntime, option, (line) => expect.fail(line));
    const batch = logisticBatch(8, 0);
    expect(await refusal(chunks(20).next(0, 100, batch))).to.equal(
      "chunk: 20 steps in one run need about 14.0 GB beside the parameters and state, 10.0 GB are free; use 10 at most, or smaller batches",
    );
    expect(await chunks(10).next(0, 100, batch)).to.equal(10);
    expect(await chunks(10).next(0, 8, batch)).to.equal(5);
    expect(await chunks(10).next(3, 100, batch)).to.equal(1);
    // Half of what is free takes two steps, fewer than a period.
    expect(await chunks("auto").next(0, 100, batch)).to.equal(1);
    Object.assign(room, { once: 1e9 });
    const auto = chunks("auto");
    expect(await auto.next(0, 100, batch)).to.equal(5);
    auto.took(5, 0.001);
    expect(await auto.next(5, 100, batch)).to.equal(5);
    // An eighth of what a step takes is room for the inputs of twelve.
    Object.assign(room, { perStep: 1e7 });
    const modest = chunks("auto");
    await modest.next(0, 100, batch);
    modest.took(5, 0.001);
    expect(await modest.next(5, 100, batch)).to.equal(10);
    Object.assign(room, { perStep: 1e6 });
    const small = chunks("auto");
    await small.next(0, 100, batch);
    small.took(5, 0.5);
    expect(await small.next(5, 100, batch)).to.equal(50);
    small.took(50, 0.05);
    expect(await small.next(55, 100, batch)).to.equal(60);
    small.takenBack(2);
    expect([await small.next(60, 100, batch), await small.next(60, 100, batch)]).to.deep.equal([1, 1]);
    expect(await small.next(60, 100, batch)).to.equal(60);
  });
});
