import { expect } from "chai";
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { env, InferenceSession, Tensor } from "onnxruntime-node";
import { SafetensorsFile, writeSafetensors } from "../../src/format/safetensors.js";
import { patch } from "../../src/pack/patch.js";
import { curvsam, type CliResult } from "../support/cli.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

const model = join(root, "models", "roberta-mini");
const ortVersion = env.versions.node;
const words = ["free", "money", "now", "meeting", "at", "noon", "prize", "report", "is", "done"];
/** Texts in which the word "free" is the label. */
const table = (n: number, from: number): string =>
  ["sentence\tlabel"]
    .concat(
      Array.from({ length: n }, (_, i) => {
        const others = [1, 2, 3].map((k) => words[1 + ((7 * (i + from) + 3 * k + k * k) % 9)]);
        return `${[...(i % 2 ? ["free"] : []), ...others].join(" ")}\t${i % 2}`;
      }),
    )
    .join("\n");

describe("curvsam train, eval and export", function () {
  this.timeout(120_000);
  const folder = temporaryFolder();
  const out = join(folder.path, "out");
  const at = (name: string): string => join(folder.path, name);
  const data = ["--tokenizer", join(model, "tokenizer.json"), "--text", "sentence", "--label", "label"];
  const usual = [...data, "--batch-size", "8", "--threads", "1"];

  before(async () => {
    folder.write("train.tsv", table(48, 0));
    folder.write("dev.tsv", table(16, 100));
    const { code, stderr } = await curvsam([
      ...["patch", join(model, "model.onnx"), "-o", out, "--loss", "cross-entropy", "--base", "adamw", "--lr", "3e-3"],
    ]);
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
  });

  const train = (run: string, ...more: string[]): Promise<CliResult> =>
    curvsam(["train", out, "--data", at("train.tsv"), "--output", at(run), ...usual, ...more]);

  it("trains, evaluates as it trained, and exports a model that plain ONNX Runtime runs", async () => {
    const trained = await curvsam([
      "train",
      out,
      "--data",
      at("train.tsv"),
      "--eval",
      at("dev.tsv"),
      ...usual,
      "--epochs",
      "4",
    ]);
    expect(trained.stderr).to.equal("");
    expect(trained.code).to.equal(0);
    const lines = trained.stdout.trimEnd().split("\n");
    expect(lines.slice(0, 4).join()).to.match(/step 6, epoch 1\/4: loss .*step 24, epoch 4\/4: loss [\d.]+, accuracy/);
    expect(lines[4]).to.equal(`trained 24 steps: ${join(out, "run", "weights.safetensors")}`);

    const before = await curvsam([
      "eval",
      out,
      "--data",
      at("dev.tsv"),
      "--weights",
      join(out, "weights.safetensors"),
      "--json",
    ]);
    const after = await curvsam(["eval", out, "--data", at("dev.tsv"), "--json"]);
    expect(after.stderr).to.equal("");
    const [start, end] = [before, after].map(
      ({ stdout }) => JSON.parse(stdout) as { loss: number; examples: number; weights: string },
    );
    expect(end).to.include({ examples: 16, weights: join(out, "run", "weights.safetensors") });
    expect(end!.loss).to.be.below(start!.loss);
    expect(lines[3]).to.contain(`loss ${end!.loss.toFixed(4)}`);

    const exported = at("finetuned.onnx");
    expect((await curvsam(["export", out, "-o", exported])).code).to.equal(0);
    const logits = async (path: string): Promise<Float32Array> => {
      const session = await InferenceSession.create(path);
      const ids = new Tensor("int64", BigInt64Array.from([0n, 300n, 400n, 2n]), [1, 4]);
      const mask = new Tensor("int64", BigInt64Array.from([1n, 1n, 1n, 1n]), [1, 4]);
      const { logits } = await session.run({ input_ids: ids, attention_mask: mask });
      await session.release();
      return logits!.data as Float32Array;
    };
    expect(await logits(exported)).to.have.lengthOf(2);
    expect(await logits(exported)).to.not.deep.equal(await logits(join(model, "model.onnx")));
  });

  it("saves at Ctrl-C, exits 130, and a resumed run has the bits of one that was not stopped", async () => {
    const whole = await train("whole", "--max-steps", "8", "--json");
    expect(whole.code).to.equal(0);
    expect(JSON.parse(whole.stdout)).to.include({ step: 8, interrupted: false, skipped: 0 });

    const stopped = await curvsam(
      ["train", out, "--data", at("train.tsv"), "--output", at("stopped"), ...usual, "--max-steps", "8"],
      {
        started: (child) => {
          // The log has a line for the start; the second line is of a step that was taken.
          const log = at("stopped/log.jsonl");
          const look = setInterval(() => {
            if (!existsSync(log) || readFileSync(log, "utf8").split("\n").length < 4) return;
            clearInterval(look);
            child.kill("SIGINT");
          }, 5);
          child.on("exit", () => clearInterval(look));
        },
      },
    );
    expect(stopped.stderr).to.equal("");
    expect(stopped.code).to.equal(130);
    expect(stopped.stdout).to.match(
      /^interrupted after [1-7] steps?: .*\ngo on with --resume from .*checkpoint-\d+\n$/,
    );

    const resumed = await train("stopped", "--max-steps", "8", "--resume");
    expect(resumed.code).to.equal(0);
    const weights = (run: string): Buffer => readFileSync(join(at(run), "weights.safetensors"));
    expect(weights("stopped").equals(weights("whole"))).to.equal(true);
  });

  it("schedules rate and radius, keeps the best by a metric, and stops when that gets no better", async () => {
    const { code, stdout, stderr } = await train(
      "early",
      ...["--eval", at("dev.tsv"), "--epochs", "5", "--metric", "matthews", "--patience", "1", "--min-delta", "3"],
      ...["--keep", "1", "--keep-best", "2", "--lr-schedule", "polynomial", "--lr-power", "2", "--lr-warmup", "2"],
      ...["--rho-schedule", "cosine", "--rho-end", "0.5"],
    );
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
    expect(stdout).to.match(
      /\nstopped: the highest matthews was not better than [-\d.]+ in 1 evaluation in a row\ntrained 12/,
    );
    const events = readFileSync(join(at("early"), "log.jsonl"), "utf8")
      .trimEnd()
      .split("\n");
    const { about } = JSON.parse(events[0]!) as { about: { command: string; environment: Record<string, string> } };
    expect(about.command).to.match(/^curvsam train .* --rho-end 0\.5$/);
    expect(about.environment).to.include({ node: process.versions.node, "onnxruntime-node": ortVersion });
    const steps = events
      .map((line) => JSON.parse(line) as Record<string, number | string>)
      .filter(({ event }) => event === "step");
    const close = (name: string, t: number, factor: number): void => {
      expect(steps[t]![name]).to.be.closeTo((steps[0]![name] as number) * factor, 1e-9);
    };
    // Of 30 planned steps: the rate starts at a third, is whole at step 2, and falls by the square; the radius falls from the start.
    close("hyper/lr", 2, 3);
    close("hyper/lr", 9, 3 * (21 / 28) ** 2);
    close("hyper/rho", 10, 0.5 + 0.25 * (1 + Math.cos(Math.PI / 3)));
    expect(readdirSync(join(at("early"), "checkpoints"))).to.have.members(["checkpoint-6", "checkpoint-12"]);
  });

  it("exports a PyTorch state dict, and starts from one", async () => {
    const dict = at("state.safetensors");
    const written = await curvsam(["export", out, "--run", at("whole"), "-o", dict]);
    expect([written.code, written.stderr]).to.deep.equal([0, ""]);
    // Of an encoder alone, without its prefix and head, as a base model is published.
    const base = at("base.safetensors");
    SafetensorsFile.using(dict, (file) =>
      writeSafetensors(
        base,
        [...file.entries].flatMap(([name, { dtype, shape }]) =>
          name.startsWith("roberta.") ? { name: name.slice(8), dtype, shape, bytes: file.bytes(name) } : [],
        ),
      ),
    );
    const started = await train("started", "--init", base, "--lr", "0", "--max-steps", "1");
    expect([started.code, started.stderr]).to.deep.equal([0, ""]);
    expect(started.stdout.split("\n").slice(0, 2)).to.deep.equal([
      `--init ${base}: 37 tensors taken, no prefix there for "roberta." here`,
      "not in it, and left as they are: classifier.dense.weight, classifier.dense.bias, classifier.out_proj.weight, classifier.out_proj.bias",
    ]);
    const tensors = (path: string, prefix: string) =>
      SafetensorsFile.using(path, (file) =>
        [...file.entries.keys()]
          .filter((n) => n.startsWith(prefix))
          .map((n) => [n, Buffer.from(file.bytes(n))] as const),
      );
    const weights = (run: string): string => join(at(run), "weights.safetensors");
    expect(tensors(weights("started"), "roberta.")).to.deep.equal(tensors(weights("whole"), "roberta."));
    expect(tensors(weights("started"), "classifier.")).to.deep.equal(
      tensors(join(out, "weights.safetensors"), "classifier."),
    );
  });

  it("stops after steps that are not finite, and keeps the last good checkpoint", async () => {
    const first = await train("diverged", "--max-steps", "2", "--save-every", "2");
    expect(first.code).to.equal(0);
    const checkpoint = join(at("diverged"), "checkpoints", "checkpoint-2", "state.safetensors");
    const good = readFileSync(checkpoint);
    const { code, stderr } = await train(
      "diverged",
      "--epochs",
      "9",
      "--lr",
      "1e30",
      "--schedule",
      "constant",
      "--resume",
    );
    expect(code).to.equal(1);
    expect(stderr).to.match(/^curvsam: step \d+: [^\n]*not finite 10 times in a row; training stopped[^\n]*\n$/);
    expect(readFileSync(checkpoint).equals(good)).to.equal(true);
  });

  /** A tokenizer whose vocabulary is ten tokens larger than the model's. */
  function otherTokenizer(): string {
    const file = JSON.parse(readFileSync(join(model, "tokenizer.json"), "utf8")) as {
      model: { vocab: Record<string, number> };
    };
    for (let id = 5000; id < 5010; id++) file.model.vocab[`token ${id}`] = id;
    return folder.write("other-tokenizer.json", JSON.stringify(file));
  }

  const refusals: [string, number, RegExp, string[]][] = [
    [
      "a missing column, with the columns there are",
      1,
      /no column "sentense".*"sentence", "label"/,
      ["--text", "sentense"],
    ],
    ["a missing tokenizer", 1, /absent\.json/, ["--tokenizer", "absent.json"]],
    ["a hyper-parameter that the package lacks", 1, /"rhoo".*did you mean "rho"/, ["--hyper", "rhoo=1"]],
    ["more tokens than positions", 1, /--max-length 600.*258 positions/, ["--max-length", "600"]],
    ["more tokens than there is room for", 1, /--max-length 258.*258 positions.*use 256\n/, ["--max-length", "258"]],
    ["a tokenizer of another model", 1, /vocabulary has ids up to 5009.*has 5000 rows; give/, ["--tokenizer", "OTHER"]],
    ["a learning rate that is no number", 2, /--lr.*expected a number >= 0/, ["--lr", "fast"]],
    [
      "patience without evaluations",
      2,
      /--patience needs evaluations; name their data with --eval/,
      ["--patience", "2"],
    ],
    ["two beginnings", 2, /--init starts a run and --resume/, ["--init", "x.safetensors", "--resume"]],
    ["a state dict that is not there", 1, /x\.safetensors: cannot read: no such file/, ["--init", "x.safetensors"]],
    ["a glob of nothing to leave out", 1, /--init-skip "head\*" matches no/, ["--init", "x", "--init-skip", "head*"]],
    ["a mode without a metric", 2, /--metric-mode belongs to --metric/, ["--metric-mode", "min"]],
    ["a loss scale that the package lacks", 1, /scales no loss; patch the model/, ["--loss-scale", "dynamic"]],
    ["a loss scale of no kind", 2, /--loss-scale.*expected dynamic or a number > 0/, ["--loss-scale", "auto"]],
    ["growth of a scale that stays", 2, /belongs to --loss-scale dynamic/, ["--loss-scale-growth", "9"]],
    ["a schedule of no one", 2, /constant, linear, cosine/, ["--schedule", "cubic"]],
    ["a resume of nothing", 1, /no checkpoint is there/, ["--resume"]],
    ["a provider of no one", 1, /"tpu"/, ["--provider", "tpu"]],
  ];
  for (const [what, expected, says, options] of refusals) {
    it(`refuses ${what}`, async () => {
      const { code, stdout, stderr } = await train(
        "refused",
        ...options.map((option) => (option === "OTHER" ? otherTokenizer() : option)),
      );
      expect(stderr)
        .to.match(/^curvsam: [^\n]+\n$/)
        .and.match(says)
        .and.not.contain("internal error");
      expect(stdout).to.equal("");
      expect(code).to.equal(expected);
      expect(existsSync(at("refused"))).to.equal(false);
    });
  }

  it("refuses to train in mixed precision on the CPU", async () => {
    const mixed = at("mixed");
    await patch(join(model, "model.onnx"), mixed, { loss: { kind: "cross-entropy" }, precision: "mixed" });
    const { code, stdout, stderr } = await curvsam(["train", mixed, "--data", at("train.tsv"), ...usual]);
    expect(stderr).to.match(/^curvsam: [^\n]*mixed precision, and provider "cpu" has no float16[^\n]*\n$/);
    expect(stdout).to.equal("");
    expect(code).to.equal(1);
    expect(existsSync(join(mixed, "run"))).to.equal(false);
  });

  const files: [string, string, RegExp][] = [
    ["an empty data set", "sentence\tlabel\n", /the data set is empty/],
    ["an empty file", "", /bad\.tsv/],
    [
      "a label out of range",
      "sentence\tlabel\nfree\t1\nnoon\t2\n",
      /bad\.tsv line 3: label "2" is out of range.*0\.\.1/,
    ],
    ["a row that is too short", "sentence\tlabel\nfree\n", /bad\.tsv line 2: 1 column, expected 2/],
  ];
  for (const [what, text, says] of files) {
    it(`refuses ${what}`, async () => {
      const bad = folder.write("bad.tsv", text);
      const { code, stderr } = await curvsam(["train", out, "--data", bad, "--output", at("refused"), ...usual]);
      expect(stderr)
        .to.match(/^curvsam: [^\n]+\n$/)
        .and.match(says);
      expect(code).to.equal(1);
      expect(existsSync(at("refused"))).to.equal(false);
    });
  }

  it("refuses a run's folder with checkpoints, and weights of another kind", async () => {
    const again = await train("whole");
    expect(again.code).to.equal(1);
    expect(again.stderr).to.match(/^curvsam: [^\n]*checkpoints of an earlier run[^\n]*\n$/);
    const weights = await curvsam(["eval", out, "--data", at("dev.tsv"), ...data, "--weights", at("dev.tsv")]);
    expect(weights.code).to.equal(1);
    expect(weights.stderr).to.match(/^curvsam: [^\n]*dev\.tsv[^\n]*not a safetensors file\n$/);
    const run = await curvsam(["eval", out, "--data", at("dev.tsv"), "--run", at("nowhere")]);
    expect(run.code).to.equal(1);
    expect(run.stderr).to.match(/^curvsam: [^\n]*nowhere: no trained weights are there[^\n]*\n$/);
  });

  it("refuses a checkpoint of another model, and says what differs", async () => {
    const checkpoint = at("another/checkpoint-1");
    cpSync(join(at("whole"), "checkpoints", "checkpoint-8"), checkpoint, { recursive: true });
    const file = join(checkpoint, "state.safetensors");
    const tensors = SafetensorsFile.using(file, (source) => ({
      metadata: Object.fromEntries(source.metadata),
      all: [...source.entries].map(([name, { dtype, shape }]) => ({ name, dtype, shape, bytes: source.bytes(name) })),
    }));
    const changed = tensors.all.flatMap((each) => {
      if (each.name.includes("LayerNorm.bias")) return [];
      if (each.name !== "classifier.out_proj.bias") return [each];
      return [
        { ...each, shape: [3], bytes: new Uint8Array(12) },
        { ...each, name: "pooler.bias" },
      ];
    });
    writeSafetensors(file, changed, tensors.metadata);
    // As checkpoints were before they had checksums.
    const trainer = join(checkpoint, "trainer.json");
    writeFileSync(trainer, readFileSync(trainer, "utf8").replace(/,\n {2}"(stateSha256|sha256)": "\w+"/g, ""));
    const { code, stderr } = await train("refused", "--resume", checkpoint);
    const measured = await curvsam(["eval", out, "--data", at("dev.tsv"), ...data, "--weights", checkpoint]);
    expect(measured.code).to.equal(1);
    expect(measured.stderr).to.match(/^curvsam: [^\n]*: these are the weights of another model: "classifier[^\n]*\n$/);
    expect(stderr).to.match(
      /^curvsam: [^\n]*state\.safetensors: a checkpoint of another model or optimizer: "classifier\.out_proj\.bias" is float32\[3\], float32\[2\] expected; it lacks "[^\n]*LayerNorm[^\n]* and \d+ more; it has "pooler\.bias" beside; resume with[^\n]*\n$/,
    );
    expect(code).to.equal(1);
  });

  it("refuses a folder that is no package, and a package that is damaged", async () => {
    const none = await curvsam(["train", folder.path, "--data", at("train.tsv"), ...usual]);
    expect(none.code).to.equal(1);
    expect(none.stderr).to.match(/^curvsam: [^\n]*manifest\.json[^\n]*\n$/);
    cpSync(out, at("damaged"), { recursive: true });
    rmSync(join(at("damaged"), "curvature_step.onnx"));
    const damaged = await curvsam([
      "train",
      at("damaged"),
      "--data",
      at("train.tsv"),
      "--output",
      at("lost"),
      ...usual,
    ]);
    expect(damaged.code).to.equal(1);
    expect(damaged.stderr).to.match(/^curvsam: [^\n]*curvature_step\.onnx[^\n]*\n$/);
  });

  it("asks for what is needed", async () => {
    for (const [missing, says] of [
      ["--tokenizer", /--tokenizer is missing/],
      ["--text", /--text is missing/],
      ["--label", /--label is missing/],
    ] as const) {
      const rest = [...data];
      rest.splice(rest.indexOf(missing), 2);
      const { code, stderr } = await curvsam([
        "train",
        out,
        "--data",
        at("train.tsv"),
        "--output",
        at("refused"),
        ...rest,
      ]);
      expect(stderr).to.match(says);
      expect(code).to.equal(2);
    }
    expect(readdirSync(folder.path)).to.not.include("refused");
  });
});
