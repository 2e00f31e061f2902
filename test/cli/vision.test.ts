import { expect } from "chai";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { newModel } from "../../src/ir/graph.js";
import { command } from "../../src/cli/commands/vision.js";
import { readSweep } from "../../src/cli/sweep/file.js";
import { checkRuns, runsOf } from "../../src/cli/sweep/runs.js";
import { saveModel } from "../../src/serde/index.js";
import { curvsam, curvsamHere, silent, type CliResult } from "../support/cli.js";
import { writeCifar10, writeClassFolders } from "../support/images.js";
import { tinyClassifier } from "../support/nets.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

describe("curvsam vision", function () {
  this.timeout(120_000);
  const folder = temporaryFolder();
  const at = (...names: string[]): string => join(folder.path, ...names);
  const model = at("model.onnx");
  const sgd = ["--optimizer", "none", "--momentum", "0.9", "--lr", "0.05"];
  const usual = ["--threads", "1", "--batch-size", "8", "--lr-schedule", "constant", "--lr-warmup", "0"];
  const vision = (data: string, ...more: string[]): Promise<CliResult> =>
    curvsamHere(["vision", "--data", at(data), ...usual, ...more]);
  const weights = (run: string): Buffer => readFileSync(at(run, "weights.safetensors"));

  before(async () => {
    saveModel(newModel(tinyClassifier()), model);
    await writeClassFolders(at("folders"), ["ant", "bee", "cat"], 10);
    writeCifar10(at("cifar10"), 20, 4);
    // One image that does not decode; more would be more than 1 %.
    await writeClassFolders(at("damaged"), ["ant", "bee", "cat"], 34);
    writeFileSync(at("damaged", "train", "bee", "0.png"), "not an image");
  });

  it("makes a package of a model, trains it on augmented images, and evaluates what it trained alike", async () => {
    const output = ["--model", model, "--output", at("run")];
    const options = ["--epochs", "6", "--augment", "flip,crop:1", "--metric", "accuracy", "--hold-out", "6", "--json"];
    const { code, stdout, stderr } = await vision("folders", ...output, ...sgd, ...options);
    expect(code, stderr).to.equal(0);
    expect(stderr).to.equal("");
    const result = JSON.parse(stdout) as {
      step: number;
      evaluation: { examples: number; metrics: Record<string, number>; confusion: number[][] };
      best: { step: number };
      test: { step: number; loss: number; examples: number; metrics: Record<string, number> };
    };
    expect(result.step).to.equal(18);
    expect(result.evaluation.examples).to.equal(6);
    expect(result.evaluation.confusion.flat().reduce((sum, n) => sum + n, 0)).to.equal(6);
    expect(result.test).to.include({ examples: 30, step: result.best.step });
    expect(result.test.metrics["accuracy"]).to.be.above(0.6);
    expect(result.test.metrics["cross_entropy"]).to.be.closeTo(result.test.loss, 1e-5);
    expect(readdirSync(at("run"))).to.include.members(["checkpoints", "log.jsonl", "package", "weights.safetensors"]);
    const best = ["--weights", at("run", "checkpoints", `checkpoint-${result.best.step}`)];
    const again = await vision("folders", ...output, "--evaluate", "test", ...best, "--json");
    expect(JSON.parse(again.stdout), again.stderr).to.deep.include({
      examples: 30,
      loss: result.test.loss,
      metrics: result.test.metrics,
    });
  });

  it("resumes to the same bits, with other workers too, where images are mixed and dropped on the way", async () => {
    const options = ["--model", model, ...sgd, "--epochs", "2", "--label-smoothing", "0.1"];
    const augment = ["--augment", "flip,crop:2,randaugment:1:9,mixup:0.4"];
    const once = await vision("folders", ...options, ...augment, "--output", at("once"), "--workers", "2");
    expect(once.code, once.stderr).to.equal(0);
    expect(once.stdout).to.match(/epoch 2\/2: loss [\d.]+, accuracy [\d.]+, cross_entropy [\d.]+/);
    const [, loss, entropy] = /epoch 2\/2: loss ([\d.]+), .*cross_entropy ([\d.]+)/.exec(once.stdout) ?? [];
    expect(loss).to.not.equal(entropy);
    const halves = [...options, ...augment, "--output", at("halves")];
    await vision("folders", ...halves, "--max-steps", "5", "--workers", "1");
    const refused = await vision("folders", ...halves);
    expect(refused.stderr).to.match(/it holds the checkpoints of an earlier run/);
    const rest = await vision("folders", ...halves, "--workers", "0", "--resume");
    expect(rest.code, rest.stderr).to.equal(0);
    expect(weights("halves").equals(weights("once"))).to.equal(true);
    const other = await vision("folders", ...options, "--output", at("halves"), "--resume", "--max-steps", "9");
    expect(other.stderr).to.match(/images were augmented by .*mixup.*, these are by {}; use the same/);
  });

  it("names an image that does not decode, and trains a package on the others", async () => {
    const made = await curvsamHere([
      "patch",
      model,
      "-o",
      at("package"),
      "--loss",
      "cross-entropy",
      "--optimizer",
      "sam",
    ]);
    expect(made.code, made.stderr).to.equal(0);
    const { code, stdout, stderr } = await vision("damaged", "--model", at("package"), "--max-steps", "1", "--json");
    expect(code, stderr).to.equal(0);
    expect(stderr.split("\n")).to.deep.equal([
      `curvsam: ${at("damaged", "train", "bee", "0.png")}: left out: Input file contains unsupported image format`,
      `curvsam: ${at("damaged", "train")}: 1 image left out`,
      "",
    ]);
    expect(JSON.parse(stdout)).to.include({ step: 1, run: at("package", "run") });
  });

  it("measures the five likeliest classes of ten, on random parts of the images", async () => {
    const ten = Array.from({ length: 10 }, (_, c) => `class ${c}`);
    await writeClassFolders(at("ten"), ten, 1);
    saveModel(newModel(tinyClassifier(10)), at("ten.onnx"));
    const options = ["--model", at("ten.onnx"), "--output", at("ten-run"), ...sgd, "--epochs", "1", "--json"];
    const { code, stdout, stderr } = await vision("ten", ...options, "--resize", "9", "--augment", "resizedcrop,flip");
    expect(code, stderr).to.equal(0);
    const { metrics } = (JSON.parse(stdout) as { evaluation: { metrics: Record<string, number> } }).evaluation;
    expect(metrics).to.have.all.keys("accuracy", "top5_accuracy", "cross_entropy");
    expect(metrics["top5_accuracy"]).to.be.within(metrics["accuracy"]!, 1);
  });

  it("measures the sharpness of a package on images of every class, of a model, and as many as asked for", async () => {
    const few = ["--steps", "3", "--probes", "2", "--top-k", "1", "--threads", "1", "--batch-size", "6", "--json"];
    const measured = (...args: string[]) => curvsamHere(["sharpness", ...args, ...few]);
    const loss = ["--loss", "cross-entropy", "--on", "test", "--batches", "2"];
    const { code, stdout, stderr } = await measured(model, "--data", at("folders"), ...loss);
    expect(code, stderr).to.equal(0);
    const result = JSON.parse(stdout) as { batches: number; eigenvalues: { largest: { value: number }[] } };
    expect(result.batches).to.equal(2);
    expect(result.eigenvalues.largest[0]!.value).to.be.above(0);
    const packaged = await measured(at("run", "package"), "--data", at("folders"), "--batches", "1");
    expect(packaged.code, packaged.stderr).to.equal(0);
    const text = await measured(model, "--data", at("folders"), ...loss, "--tokenizer", "tokenizer.json");
    expect(text.code).to.equal(2);
    expect(text.stderr).to.match(/--tokenizer is for texts, and the model takes images/);
  });

  it("lists the runs of the study that the documentation has", () => {
    const [, text = ""] =
      /```yaml\n(program: vision\n[^]*?)```/.exec(readFileSync(join(root, "docs", "VISION.md"), "utf8")) ?? [];
    const file = readSweep(folder.write("documented.yaml", text));
    const runs = runsOf(file, command(silent));
    checkRuns(file, runs, () => command(silent));
    expect(runs.map(({ seed, parameters }) => [seed, parameters["frequency"]])).to.deep.equal(
      [0, 1, 2].flatMap((seed) => [1, 5, 10, 20].map((frequency) => [seed, frequency])),
    );
  });

  it("runs in a sweep", async () => {
    const base = { model, data: "folders", "max-steps": 2, "batch-size": 8, augment: "flip,crop:1", rho: 0.05 };
    const grid = { optimizer: ["curvsam"], frequency: [1] };
    const file = { program: "vision", metric: "accuracy", keep: "log", base, grid };
    folder.write("frequency.yaml", stringify(file));
    const { code, stderr } = await curvsam(["sweep", "frequency.yaml", "--threads", "1"], { cwd: folder.path });
    expect(code, stderr).to.equal(0);
    const results = readFileSync(at("frequency", "results.jsonl"), "utf8").trimEnd().split("\n");
    // A refresh (three and the second gradient) at each step.
    expect(results.map((line) => (JSON.parse(line) as { gradients: number }).gradients)).to.deep.equal([8]);
  });

  const run = ["--model", model, "--output", at("refused")];
  const refusals: Record<string, [string, string[], number, RegExp]> = {
    "data that is not there": ["nowhere", run, 1, /nowhere: no such folder/],
    "data of another number of classes": [
      "cifar10",
      run,
      1,
      /the model has 3 classes, \S*cifar10 has 10; export the model for as many/,
    ],
    "a run without a folder": ["folders", ["--model", model], 2, /--output is missing/],
    "a model that is not there": ["folders", [...run, "--model", "no.onnx"], 1, /no\.onnx: /],
    "an unknown augmentation": ["folders", [...run, "--augment", "blur"], 2, /"blur" is not known; use flip, crop/],
    "two ways to crop": ["folders", [...run, "--augment", "crop,resizedcrop"], 2, /use one of them/],
    "a range from more to less": [
      "folders",
      [...run, "--augment", "resizedcrop:0.5:0.2"],
      2,
      /expected a number from 0.5 to 1/,
    ],
    "numbers that an augmentation lacks": ["folders", [...run, "--augment", "flip:1"], 2, /more numbers than the 0 of/],
    "an evaluation on what was not held out": ["folders", [...run, "--evaluate", "valid"], 2, /--hold-out/],
    "two means": ["folders", [...run, "--mean", "0.5,0.5"], 2, /--mean: 2 numbers; expected three/],
    "options that a package has": [
      "folders",
      ["--model", at("package"), "--frequency", "2"],
      2,
      /--frequency shapes a/,
    ],
    "mixup where labels are classes": [
      "folders",
      ["--model", at("package"), "--output", at("refused"), "--augment", "mixup"],
      1,
      /patch with --loss soft-cross-entropy/,
    ],
  };
  for (const [name, [data, options, code, message]] of Object.entries(refusals)) {
    it(`refuses ${name}`, async () => {
      const result = await vision(data, ...options);
      expect(result.stderr)
        .to.match(/^curvsam: [^\n]+\n$/)
        .and.match(message);
      expect(result.code).to.equal(code);
      expect(existsSync(at("refused"))).to.equal(false);
    });
  }
});
