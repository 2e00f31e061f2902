import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { curvsam, type CliResult } from "../support/cli.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

const fixtures = join(root, "test", "fixtures", "graphs");
const molecules = join(fixtures, "ogb");
const cora = join(fixtures, "cora.json");

describe("curvsam graph", function () {
  this.timeout(120_000);
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder.path, name);
  const usual = ["--threads", "1", "--lr-schedule", "constant", "--lr-warmup", "0"];
  const graph = (out: string, data: string, ...more: string[]): Promise<CliResult> =>
    curvsam(["graph", at(out), "--data", data, ...usual, ...more]);

  before(async () => {
    const adamw = ["--optimizer", "none", "--base", "adamw", "--lr", "2e-2"];
    const made = await Promise.all([
      curvsam(["patch", join(fixtures, "gin.onnx"), "-o", at("gin"), "--loss", "bce-with-logits", ...adamw]),
      curvsam([
        ...["patch", join(fixtures, "gcn.onnx"), "-o", at("gcn"), "--loss", "cross-entropy", "--ignore-index", "-1"],
        ...["--optimizer", "curvsam", "--base", "adamw", "--lr", "2e-2"],
      ]),
    ]);
    for (const { code, stderr } of made) expect(code, stderr).to.equal(0);
  });

  it("trains on molecules, measures the best checkpoint, and evaluates it alike", async () => {
    const run = at("run");
    const options = ["--batch-size", "7", "--metric", "rocauc", "--output", run];
    const { code, stdout, stderr } = await graph("gin", molecules, ...options, "--epochs", "12", "--json");
    expect(code, stderr).to.equal(0);
    const result = JSON.parse(stdout) as {
      step: number;
      evaluation: { metrics: { rocauc: number; ap: number } };
      best: { step: number; value: number };
      test: { step: number; loss: number; metrics: { rocauc: number } };
    };
    expect(result.step).to.equal(24);
    expect(result.best.value).to.be.above(0.8);
    expect(result.test.step).to.equal(result.best.step);
    const only = ["--evaluate", "test", "--batch-size", "7", "--json"];
    const weights = join(run, "checkpoints", `checkpoint-${result.best.step}`);
    const again = await graph("gin", molecules, ...only, "--weights", weights);
    expect(JSON.parse(again.stdout)).to.deep.include({
      examples: 5,
      loss: result.test.loss,
      metrics: result.test.metrics,
    });
    const before = await graph("gin", molecules, ...only);
    expect((JSON.parse(before.stdout) as { loss: number }).loss).to.be.above(result.test.loss);
  });

  it("trains on the nodes of one graph, and resumes to the same bits", async () => {
    const once = at("once");
    const halves = at("halves");
    const whole = await graph("gcn", cora, "--epochs", "20", "--eval-every", "10", "--metric", "acc", "--output", once);
    expect(whole.code, whole.stderr).to.equal(0);
    expect(whole.stdout)
      .to.match(/step 10, epoch 9\/20: loss [\d.]+, acc [\d.]+/)
      .and.to.match(/test, at step \d+: /);
    const [, accuracy] = /test, .* acc ([\d.]+)/.exec(whole.stdout) ?? [];
    expect(Number(accuracy)).to.be.above(0.7);
    const part = ["--epochs", "20", "--eval-every", "10", "--metric", "acc", "--output", halves];
    await graph("gcn", cora, ...part, "--max-steps", "7");
    const rest = await graph("gcn", cora, ...part, "--resume");
    expect(rest.code, rest.stderr).to.equal(0);
    const weights = (run: string): Buffer => readFileSync(join(run, "weights.safetensors"));
    expect(weights(halves).equals(weights(once))).to.equal(true);
  });

  it("is run by a sweep, whose results hold the test at the end", async () => {
    const options = { data: cora, epochs: 4, "eval-every": 2, metric: "acc", "sharpness-every": 4 };
    const base = { package: at("gcn"), ...options };
    const file = { program: "graph", results: at("sweep.jsonl"), metric: "test_acc", base, seeds: [3] };
    const sweep = await curvsam(["sweep", folder.write("sweep.yaml", stringify(file)), "--threads", "1"]);
    expect(sweep.code, sweep.stderr).to.equal(0);
    const { metrics } = JSON.parse(readFileSync(at("sweep.jsonl"), "utf8")) as { metrics: Record<string, number> };
    const flags = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    const own = ["--seed=3", "--threads=1", "--json", `--output=${at("alone")}`];
    const alone = await curvsam(["graph", at("gcn"), ...flags, ...own]);
    const { evaluation, test } = JSON.parse(alone.stdout) as Record<
      "evaluation" | "test",
      { loss: number; metrics: { acc: number } }
    >;
    expect(metrics).to.include({
      ...{ loss: evaluation.loss, acc: evaluation.metrics.acc },
      ...{ test_loss: test.loss, test_acc: test.metrics.acc },
    });
    expect(metrics["sharpness/largest_eigenvalue"]).to.be.above(0);
  });

  for (const [name, data, batches] of [
    ["gin", molecules, 2],
    ["gcn", cora, 1],
  ] as const) {
    it(`lets sharpness measure ${name}`, async () => {
      const few = ["--steps", "3", "--probes", "2", "--top-k", "1", "--threads", "1", "--batch-size", "7", "--json"];
      const { code, stdout, stderr } = await curvsam(["sharpness", at(name), "--data", data, "--batches", "2", ...few]);
      expect(code, stderr).to.equal(0);
      const result = JSON.parse(stdout) as { batches: number; eigenvalues: { largest: { value: number }[] } };
      expect(result.batches).to.equal(batches);
      expect(result.eigenvalues.largest[0]!.value).to.be.above(0);
    });
  }

  const refusals: Record<string, [string[], number, RegExp]> = {
    "data of another kind than the model's": [["gcn", molecules], 1, /9 features of a node, the model's "x" takes 12/],
    "a file that is not there": [["gin", "nowhere"], 1, /nowhere: no such file/],
    "weights without an evaluation": [["gin", molecules, "--weights", "x"], 2, /--weights belongs to --evaluate/],
    "a split of no one": [["gin", molecules, "--evaluate", "dev"], 2, /train, valid, test/],
  };
  for (const [name, [[out, data, ...more], code, message]] of Object.entries(refusals)) {
    it(`refuses ${name}`, async () => {
      const result = await graph(out!, data!, "--output", at("refused"), ...more);
      expect(result.stderr).to.match(message);
      expect(result.stderr.trimEnd()).to.not.contain("\n");
      expect(result.code).to.equal(code);
    });
  }
});
