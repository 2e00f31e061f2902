import { expect } from "chai";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PackageRuntime } from "../../src/runtime/runtime.js";
import { fit } from "../../src/train/fit.js";
import type { Callbacks, FitOptions } from "../../src/train/options.js";
import { usualMeasure } from "../../src/train/measures.js";
import { schedule } from "../../src/train/schedules.js";
import { logisticPackage } from "../support/logistic.js";
import { refusal } from "../support/refusal.js";
import { LogisticSource } from "../support/source.js";

describe("fit", () => {
  let folder: string;
  let work: string;
  before(() => {
    folder = logisticPackage();
  });
  after(() => rmSync(folder, { recursive: true }));
  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), "curvsam-fit-"));
  });
  afterEach(() => rmSync(work, { recursive: true }));

  /** Runs `body` with a runtime of its own. */
  async function withRuntime<T>(body: (runtime: PackageRuntime) => Promise<T>): Promise<T> {
    const runtime = await PackageRuntime.open(folder, { threads: 1, seed: 2 });
    try {
      return await body(runtime);
    } finally {
      await runtime.close();
    }
  }

  type Changes = Partial<FitOptions> & { onBatch?: LogisticSource["onBatch"] | undefined; groupByLength?: number };
  /** Three epochs of 7 steps over 100 examples in batches of 8, two a step; files below `name`. */
  async function run(name: string, changes: Changes = {}) {
    return withRuntime(async (runtime) => {
      const train = new LogisticSource(100, 8, { groupByLength: changes.groupByLength ?? 0 });
      if (changes.onBatch) train.onBatch = changes.onBatch;
      const evaluation = {
        source: new LogisticSource(60, 16, { shuffle: false, key: "held out" }),
        measure: usualMeasure(runtime.manifest),
      };
      const result = await fit({
        ...{ runtime, train, evaluation, epochs: 3, accumulate: 2 },
        schedules: { lr: schedule("cosine", { warmup: 3 }) },
        checkpoints: { folder: join(work, name), keep: 2 },
        log: join(work, `${name}.jsonl`),
        ...changes,
      });
      const { momentum, ...state } = await trained(runtime);
      return { result, state, momentum };
    });
  }
  async function trained(runtime: PackageRuntime) {
    const values = await runtime.read(["w", "b", "curvature/w", "momentum/w", "x_mean", "state/step"]);
    const plain = Object.fromEntries(Object.entries(values).map(([k, v]) => [k, Array.from(v.data, Number)]));
    return { ...plain, momentum: plain["momentum/w"]! };
  }
  /** The log, without the times. */
  const events = (name: string) =>
    readFileSync(join(work, `${name}.jsonl`), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => {
        const { seconds, ...event } = JSON.parse(line) as Record<string, unknown> & { event: string };
        expect(seconds).to.be.a("number");
        return event;
      });
  const checkpoints = (name: string) => readdirSync(join(work, name)).sort();

  it("trains, evaluates each epoch, logs every step, keeps the last checkpoints and the best", async () => {
    const { result } = await run("a");
    expect(result).to.deep.include({ step: 21, epoch: 3, skipped: 0, interrupted: false });
    const log = events("a");
    expect(log[0]).to.deep.include({ event: "start", epochs: 3, total: 21, accumulate: 2, seed: 2, threads: 1 });
    expect(log.at(-1)).to.deep.include({ event: "end", interrupted: false });
    const steps = log.filter(({ event }) => event === "step");
    expect(steps.map((e) => e.step)).to.deep.equal(Array.from({ length: 21 }, (_, i) => i + 1));
    expect(steps[0]).to.include({ epoch: 0, variant: "curvature_step", wasSkipped: false, loss_weight: 16 });
    expect(steps[0]!["hyper/lr"]).to.be.closeTo(0.1 / 4, 1e-12);
    // The last step of an epoch has the four examples that are left.
    expect(steps[6]).to.include({ epoch: 0, loss_weight: 4 });
    const evaluations = log.filter(({ event }) => event === "evaluation");
    expect(evaluations.map((e) => [e.step, e.epoch, e.examples])).to.deep.equal([
      [7, 1, 60],
      [14, 2, 60],
      [21, 3, 60],
    ]);
    expect(evaluations[2]!.loss).to.be.below(0.8 * (evaluations[0]!.loss as number));
    expect(evaluations[2]!.accuracy).to.be.above(0.85);
    expect(result.evaluation!.metrics).to.have.keys("accuracy", "f1", "auc");
    expect(result.best).to.deep.equal({ step: 21, value: result.evaluation!.loss });
    expect(checkpoints("a")).to.deep.equal(["checkpoint-14", "checkpoint-21"]);
    expect(readdirSync(result.checkpoint!)).to.have.members(["state.safetensors", "trainer.json"]);
  });

  it("logs the mean curvature of each tensor now and then, and what was taken for what", async () => {
    const { state } = await run("a", { about: { command: "curvsam train" }, curvatureEvery: 7 });
    const log = events("a");
    expect(log[0]).to.deep.include({ about: { command: "curvsam train" }, elements: { w: 5, b: 1 } });
    const curvature = log.filter(({ event }) => event === "curvature");
    expect(curvature.map(({ step }) => step)).to.deep.equal([7, 14, 21]);
    const { w } = curvature[2]!["mean"] as Record<string, number>;
    const h = (state as Record<string, number[]>)["curvature/w"]!;
    expect(w).to.be.closeTo(h.reduce((sum, x) => sum + x, 0) / h.length, 1e-5 * w!);
    const last = log.filter(({ event }) => event === "evaluation").at(-1)!;
    const [[right0, wrong0], [wrong1, right1]] = last["confusion"] as [[number, number], [number, number]];
    expect(right0 + wrong0 + wrong1 + right1).to.equal(60);
    expect((right0 + right1) / 60).to.equal(last["accuracy"]);
  });

  it("keeps the best beside the last", async () => {
    // The learning rate climbs until training diverges: the first evaluation is the best.
    await run("a", { epochs: 4, hyper: { lr: 0.5 }, schedules: { lr: (t) => (t < 7 ? 1 : 20) } });
    expect(checkpoints("a")).to.deep.equal(["checkpoint-21", "checkpoint-28", "checkpoint-7"]);
  });

  it("keeps as many of the best as asked for, by any metric", async () => {
    const best = { metric: "auc" };
    const lr = (t: number) => (t < 14 ? 1 : -0.3);
    const { result } = await run("a", {
      ...{ epochs: 5, hyper: { lr: 0.5 }, schedules: { lr } },
      checkpoints: { folder: join(work, "a"), keep: 1, keepBest: 2, best },
    });
    const scores = events("a")
      .filter(({ event }) => event === "evaluation")
      .map(({ step, auc }) => ({ step: step as number, value: auc as number }));
    const ranked = [...scores].sort((a, b) => b.value - a.value || a.step - b.step);
    expect(result.best).to.deep.equal(ranked[0]);
    const kept = new Set([...ranked.slice(0, 2).map(({ step }) => step), 35]);
    expect(checkpoints("a")).to.have.members([...kept].map((step) => `checkpoint-${step}`));
  });

  it("schedules the radius as well as the learning rate", async () => {
    await run("a", { epochs: 1, schedules: { rho: schedule("polynomial", { power: 2, warmup: 2, end: 0.5 }) } });
    const rho = events("a")
      .filter(({ event }) => event === "step")
      .map((e) => e["hyper/rho"] as number);
    const want = [1 / 3, 2 / 3, 1, 0.5 + 0.5 * 0.8 ** 2, 0.5 + 0.5 * 0.6 ** 2].map((f) => 0.05 * f);
    want.forEach((v, i) => expect(rho[i]).to.be.closeTo(v, 1e-9));
  });

  describe("early stopping", () => {
    // Nothing moves after the second epoch, so nothing is better after it.
    const spoilt: Changes = {
      ...{ epochs: 9, hyper: { lr: 0.5 }, schedules: { lr: (t: number) => Number(t < 14) } },
      earlyStopping: { patience: 2 },
    };

    it("ends the run after so many evaluations that were not better, with a checkpoint", async () => {
      const { result } = await run("a", spoilt);
      expect(result).to.deep.include({ step: 28, epoch: 4, interrupted: false });
      expect(result.stopped).to.match(/^the lowest loss was not better than 0\.\d+ in 2 evaluations in a row$/);
      expect(result.checkpoint).to.contain("checkpoint-28");
      expect(events("a").at(-1)).to.deep.include({ event: "end", stopped: result.stopped });
    });

    it("counts an evaluation only where it is better by minDelta; other metrics have their own direction", async () => {
      const { result } = await run("a", { epochs: 9, earlyStopping: { patience: 1, minDelta: 10 } });
      expect(result).to.deep.include({ step: 14, epoch: 2 });
      const other = await run("b", { epochs: 9, earlyStopping: { patience: 1, metric: "accuracy", minDelta: 2 } });
      expect(other.result.stopped).to.match(
        /^the highest accuracy was not better than 0\.\d+ in 1 evaluation in a row$/,
      );
    });

    it("resumed where it was interrupted, it ends where the whole run ended; more patience goes on", async () => {
      const whole = await run("whole", spoilt);
      const controller = new AbortController();
      const onStep = ({ step }: { step: number }) => (step === 23 ? controller.abort() : undefined);
      await run("part", { ...spoilt, signal: controller.signal, callbacks: { onStep } });
      const rest = await run("part", { ...spoilt, resume: join(work, "part") });
      expect(rest.result).to.deep.include({ step: 28, stopped: whole.result.stopped, best: whole.result.best });
      expect(rest.state).to.deep.equal(whole.state);
      const again = await run("part", { ...spoilt, resume: join(work, "part") });
      expect(again.result).to.deep.include({ step: 28, stopped: whole.result.stopped });
      const more = await run("part", { ...spoilt, earlyStopping: { patience: 3 }, resume: join(work, "part") });
      expect(more.result).to.deep.include({ step: 35 });
    });

    it("refuses metrics that the evaluation lacks, before it touches a file", async () => {
      const says = await refusal(run("a", { earlyStopping: { patience: 1, metric: "acuracy" } }));
      expect(says).to.equal(
        'the evaluation has no metric "acuracy"; it has loss, accuracy, f1, auc; did you mean "accuracy"?',
      );
      expect(await refusal(run("a", { ...spoilt, evaluation: undefined }))).to.contain("needs evaluations");
      expect(await refusal(run("a", { earlyStopping: { patience: 0 } }))).to.contain("patience: 0; a whole number");
      expect(readdirSync(work)).to.deep.equal([]);
    });

    it("another goal after a resume starts its ranking anew, and says so", async () => {
      await run("a", { epochs: 1 });
      const notes: string[] = [];
      const checkpoints = { folder: join(work, "a"), best: { metric: "accuracy" } };
      const callbacks = { onNote: (line: string) => void notes.push(line) };
      const { result } = await run("a", { epochs: 2, checkpoints, callbacks, resume: join(work, "a") });
      expect(notes.join()).to.contain(
        "ranked evaluations by the lowest loss; from here on the highest accuracy counts",
      );
      expect(result.best).to.deep.equal({ step: 14, value: result.evaluation!.metrics["accuracy"] });
    });
  });

  it("calls back on steps, evaluations, checkpoints and the end, each set in turn; any can stop it", async () => {
    const calls: string[] = [];
    const log = (name: string) => (_: unknown, at?: { step: number; total: number }) => {
      calls.push(at ? `${name} ${at.step}/${at.total}` : name);
    };
    const first = { onEvaluation: log("evaluation"), onCheckpoint: log("checkpoint"), onEnd: log("end") };
    const second: Callbacks = {
      onStep: ({ step }, at) => {
        if (step === 9) at.stop("enough");
      },
      onEnd: ({ stopped }) => void calls.push(`second: ${stopped}`),
    };
    const { result } = await run("a", { callbacks: [first, second] });
    expect(result).to.deep.include({ step: 9, epoch: 1, interrupted: false, stopped: "enough" });
    expect(calls).to.deep.equal(["evaluation 7/21", "checkpoint 7/21", "checkpoint 9/21", "end", "second: enough"]);
    const rest = await run("a", { resume: join(work, "a") });
    expect(rest.state).to.deep.equal((await run("whole")).state);
  });

  it("says after a resume which checkpoint is left when training diverges", async () => {
    await run("a", { epochs: 1 });
    const onBatch: Changes["onBatch"] = (batch) => (batch.feeds["x"]!.data[0] = NaN);
    const message = await refusal(run("a", { onBatch, maxSkips: 2, resume: join(work, "a") }));
    expect(message).to.match(/training stopped, the last good checkpoint is .*checkpoint-7; lower/);
  });

  it("equal seeds give equal bits", async () => {
    const [a, b] = [await run("a"), await run("b")];
    expect({ ...b, result: { ...b.result, checkpoint: a.result.checkpoint } }).to.deep.equal(a);
  });

  it("grouped by length, interrupted and resumed: the same bits again, and other ones than without", async () => {
    const grouped = { groupByLength: 3, epochs: 2 };
    const whole = await run("whole", grouped);
    const controller = new AbortController();
    const onStep = ({ step }: { step: number }) => (step === 10 ? controller.abort() : undefined);
    await run("part", { ...grouped, signal: controller.signal, callbacks: { onStep } });
    const rest = await run("part", { ...grouped, resume: join(work, "part") });
    expect(rest.state).to.deep.equal(whole.state);
    expect((await run("other", { epochs: 2 })).state).to.not.deep.equal(whole.state);
    expect(await refusal(run("part", { resume: join(work, "part") }))).to.contain(
      "the checkpoint's batches were grouped by length within 3, these are not grouped by length; use the same",
    );
  });

  for (const stop of [1, 7, 10] as const) {
    it(`interrupted after step ${stop} and resumed: equal to the run that was not, bit for bit`, async () => {
      const whole = await run("whole");
      const controller = new AbortController();
      const onStep = ({ step }: { step: number }) => (step === stop ? controller.abort() : undefined);
      const part = await run("part", { signal: controller.signal, callbacks: { onStep } });
      expect(part.result).to.deep.include({ interrupted: true, step: stop });
      expect(part.result.checkpoint).to.contain(`checkpoint-${stop}`);
      const rest = await run("part", { resume: join(work, "part") });
      expect(rest.state).to.deep.equal(whole.state);
      expect(rest.momentum).to.deep.equal(whole.momentum);
      expect(rest.result.best).to.deep.equal(whole.result.best);
      expect(events("part")).to.deep.equal(events("whole"));
    });
  }

  it("interrupted in an evaluation: it is made up for after the resume", async () => {
    const whole = await run("whole");
    const controller = new AbortController();
    let evaluated = 0;
    const evaluation = { source: new LogisticSource(60, 16, { shuffle: false, key: "held out" }) };
    evaluation.source.onBatch = () => (++evaluated === 6 ? controller.abort() : undefined);
    const part = await run("part", { signal: controller.signal, evaluation });
    expect(part.result).to.deep.include({ interrupted: true, step: 14 });
    const rest = await run("part", { resume: part.result.checkpoint! });
    expect(rest.state).to.deep.equal(whole.state);
    const lines = (name: string) =>
      events(name)
        .filter((e) => e.event === "evaluation")
        .map((e) => [e.step, e.loss]);
    expect(lines("part")).to.deep.equal(lines("whole"));
  });

  it("broken off between checkpoints and resumed: the same, and the log has no line twice", async () => {
    const whole = await run("whole");
    const onStep = ({ step }: { step: number }) => {
      if (step === 12) throw new Error("power failure");
    };
    await run("part", { callbacks: { onStep } }).then(
      () => expect.fail("it went on"),
      (error: unknown) => expect(String(error)).to.contain("power failure"),
    );
    expect(events("part").at(-1)).to.deep.include({ event: "error", message: "power failure", step: 12 });
    expect(checkpoints("part")).to.deep.equal(["checkpoint-7"]);
    const rest = await run("part", { resume: join(work, "part") });
    expect(rest.state).to.deep.equal(whole.state);
    expect(events("part")).to.deep.equal(events("whole"));
  });

  it("evaluates and saves every so many steps, and stops at maxSteps", async () => {
    const { result } = await run("a", {
      ...{ maxSteps: 11, evaluateEvery: 4 },
      checkpoints: { folder: join(work, "a"), every: 3, keep: 9, best: { metric: "accuracy", mode: "max" } },
    });
    expect(result).to.deep.include({ step: 11, epoch: 1, interrupted: false });
    expect(
      events("a")
        .filter((e) => e.event === "evaluation")
        .map((e) => e.step),
    ).to.deep.equal([4, 8, 11]);
    expect(checkpoints("a")).to.include.members([3, 6, 9, 11].map((step) => `checkpoint-${step}`));
    expect(checkpoints("a")).to.include(`checkpoint-${result.best!.step}`);
    expect(checkpoints("a")).to.not.include("checkpoint-7");
  });

  it("skips what is not finite and goes on; N in a row stop it, and the last good checkpoint stays", async () => {
    const spoil =
      (from: number, to: number): Changes["onBatch"] =>
      (batch, i) => {
        if (i >= from && i < to) batch.feeds.x!.data[0] = NaN;
      };
    const { result } = await run("a", { onBatch: spoil(4, 6) });
    expect(result).to.deep.include({ step: 20, epoch: 3, skipped: 1 });
    expect(events("a").filter((e) => e.wasSkipped)).to.have.length(1);
    const message = await refusal(run("b", { onBatch: spoil(16, 100), maxSkips: 3 }));
    expect(message).to.match(
      /step 8: .*not finite 3 times in a row; .*checkpoint is .*checkpoint-7; lower the learning/,
    );
    expect(checkpoints("b")).to.deep.equal(["checkpoint-7"]);
  });

  it("refuses before it touches a file", async () => {
    expect(await refusal(run("a", { hyper: { lrr: 1 } }))).to.match(/no hyper-parameter "lrr"; it has lr, .*mean "lr"/);
    expect(await refusal(run("a", { epochs: 0.5 }))).to.contain("epochs: 0.5; a whole number");
    expect(await refusal(run("a", { resume: join(work, "no") }))).to.contain("no checkpoint is there");
    expect(readdirSync(work)).to.deep.equal([]);
  });

  it("refuses the folder of an earlier run, and a damaged checkpoint", async () => {
    const { result } = await run("a", { epochs: 1 });
    expect(await refusal(run("a"))).to.contain("it holds the checkpoints of an earlier run; resume from it, or");
    const file = join(result.checkpoint!, "trainer.json");
    const good = readFileSync(file, "utf8");
    writeFileSync(file, good.slice(0, 40));
    expect(await refusal(run("a", { resume: join(work, "a") }))).to.contain("trainer.json: it is not JSON");
    writeFileSync(file, good.replace('"epoch": 1', '"epoch": -1'));
    expect(await refusal(run("a", { resume: join(work, "a") }))).to.contain("trainer.json: epoch: ");
  });

  it("says in one line that a file cannot be written", async () => {
    expect(await refusal(run("a", { log: join(work, "no", "log.jsonl") }))).to.contain("cannot write: no such file or");
    writeFileSync(join(work, "file"), "");
    expect(await refusal(run("file"))).to.match(/file: cannot (write|read): .*not a folder|exists/);
    if (existsSync("/dev/full")) {
      expect(await refusal(run("b", { log: "/dev/full" }))).to.equal(
        "/dev/full: cannot write: the disk is full; free some space",
      );
    }
  });

  it("stops when a callback's error or the data's error comes", async () => {
    const onBatch = (_: unknown, i: number) => {
      if (i === 5) throw new Error("line 12 of train.tsv");
    };
    const error = await run("a", { onBatch }).catch((e: unknown) => e);
    expect(String(error)).to.contain("line 12 of train.tsv");
    expect(events("a").filter((e) => e.event === "step")).to.have.length(2);
  });
});
