import { expect } from "chai";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { tensorType } from "../../src/ir/graph.js";
import { loadModel, saveModel } from "../../src/serde/index.js";
import { listCheckpoints } from "../../src/train/checkpoints.js";
import { curvsam, main, type CliResult } from "../support/cli.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

const models = join(root, "models", "roberta-mini");

/** One line that matches, from us and not from a fault of ours. */
function refused({ code, stdout, stderr }: CliResult, says: RegExp): void {
  expect(stderr)
    .to.match(/^curvsam: [^\n]+\n$/)
    .and.match(says)
    .and.not.contain("internal error");
  expect(stdout).to.equal("");
  expect(code).to.equal(1);
}

describe("what a run can run into", function () {
  this.timeout(120_000);
  const folder = temporaryFolder();
  const at = (...names: string[]): string => join(folder.path, ...names);
  const fast = ["--loss", "cross-entropy", "--optimizer", "none"];
  const rows = ["free money\t1", "at noon\t0", "a prize\t1", "it is done\t0", "free prize\t1", "the report\t0"];
  const data = ["--tokenizer", join(models, "tokenizer.json"), "--text", "sentence", "--label", "label"];

  before(async () => {
    folder.write("train.tsv", ["sentence\tlabel", ...rows].join("\n"));
    const { stderr } = await curvsam(["patch", join(models, "model.onnx"), "-o", at("out"), ...fast]);
    expect(stderr).to.equal("");
  });

  const train = (run: string, more: string[], largestFile?: number, out = "out"): Promise<CliResult> =>
    curvsam(
      [
        ...["train", at(out), "--data", at("train.tsv"), "--output", at(run), "--threads", "1", "--batch-size", "2"],
        ...data,
        ...more,
      ],
      largestFile === undefined ? {} : { largestFile },
    );

  /** The same for a shell, as one line; the run goes to `output`. */
  const trainLine = (output: string, more: readonly string[]): string =>
    [process.execPath, main, "train", at("out"), "--data", at("train.tsv"), "--output", output, ...more].join(" ");

  describe("a disk that is full", function () {
    if (process.platform === "win32") this.pending = true;

    it("leaves no package, no model and no part of a checkpoint", async () => {
      const before = readdirSync(folder.path);
      const patched = await curvsam(["patch", join(models, "model.onnx"), "-o", at("package"), ...fast], {
        largestFile: 2000,
      });
      refused(patched, /package[^\n]*cannot write: the file system does not take a file that large/);
      const exported = await curvsam(["export", at("out"), "-o", at("finetuned.onnx")], { largestFile: 2000 });
      refused(exported, /finetuned\.onnx: cannot write/);
      expect(readdirSync(folder.path)).to.deep.equal(before);
      // The optimised graph does not fit; where it does, the checkpoint does not.
      refused(await train("none", ["--max-steps", "1"], 2000), /cannot write[^\n]*free some space/);
      expect(existsSync(at("none", "weights.safetensors"))).to.equal(false);
      refused(await train("full", ["--max-steps", "1"], 6000), /checkpoint-1[^\n]*cannot write/);
      expect(readdirSync(at("full", "checkpoints"))).to.deep.equal([]);
      expect(existsSync(at("full", "weights.safetensors"))).to.equal(false);
    });

    it("keeps the last checkpoint, which goes on to the same bits once there is room", async function () {
      const small = at("cramped");
      mkdirSync(small);
      // A file system of a size of its own, in a namespace of its own; not every machine lets its users have one.
      const mounts = ["-rm", "sh", "-c"];
      if (spawnSync("unshare", [...mounts, `mount -t tmpfs none ${small}`]).status !== 0) this.skip();
      const options = ["--epochs", "4", "--save-every", "1", "--lr-schedule", "constant", "--keep", "9"];
      const args = [...["--threads", "1", "--batch-size", "2"], ...data, ...options];
      const run = (more: string[]): string => trainLine(join(small, "run"), [...args, ...more]);
      const { stdout, stderr, status } = spawnSync(
        "unshare",
        [
          ...mounts,
          [
            `mount -t tmpfs -o size=16m none ${small}`,
            run([]),
            "echo code $?",
            `ls -A ${join(small, "run", "checkpoints")}`,
            `mount -o remount,size=256m ${small}`,
            run(["--resume"]),
            `cp ${join(small, "run", "weights.safetensors")} ${at("cramped.safetensors")}`,
          ].join("\n"),
        ],
        { encoding: "utf8" },
      );
      expect(stderr).to.match(
        /^curvsam: [^\n]*checkpoint-\d+[^\n]*: cannot write: the disk is full; free some space\n$/,
      );
      expect(stdout).to.match(/^code 1\n(checkpoint-\d+\n)+trained 12 steps: /);
      expect(status).to.equal(0);
      expect((await train("roomy", options)).code).to.equal(0);
      expect(readFileSync(at("cramped.safetensors")).equals(readFileSync(at("roomy", "weights.safetensors")))).to.equal(
        true,
      );
    });

    it("is named as such where the log cannot grow", async function () {
      if (!existsSync("/dev/full")) this.skip();
      mkdirSync(at("nolog"));
      symlinkSync("/dev/full", at("nolog", "log.jsonl"));
      refused(await train("nolog", ["--max-steps", "1"]), /log\.jsonl: cannot write: the disk is full/);
      expect(readdirSync(at("nolog", "checkpoints"))).to.deep.equal([]);
    });
  });

  it("refuses a folder that it may not write to", function () {
    const locked = at("locked");
    mkdirSync(locked);
    const mounts = ["-rm", "sh", "-c"];
    if (spawnSync("unshare", [...mounts, `mount -t tmpfs none ${locked}`]).status !== 0) this.skip();
    const script = `mount -t tmpfs -o ro none ${locked}\n${trainLine(join(locked, "run"), data)}`;
    const { status, stdout, stderr } = spawnSync("unshare", [...mounts, script], { encoding: "utf8" });
    refused(
      { code: status, stdout, stderr },
      /locked[^\n]*cannot write: the file system is read-only; choose another folder/,
    );
  });

  it("keeps a second run out of the folder, and Ctrl-C twice ends it at once without harm", async () => {
    const endless = ["--epochs", "9999", "--save-every", "1", "--lr-schedule", "constant", "--lr-warmup", "0"];
    let second: Promise<CliResult> | undefined;
    const first = await curvsam(
      [
        ...[
          "train",
          at("out"),
          "--data",
          at("train.tsv"),
          "--output",
          at("twice"),
          "--threads",
          "1",
          "--batch-size",
          "2",
        ],
        ...data,
        ...endless,
      ],
      {
        started: (child) => {
          const look = setInterval(() => {
            const log = at("twice", "log.jsonl");
            if (second || !existsSync(log) || !readFileSync(log, "utf8").includes('"step":3')) return;
            clearInterval(look);
            second = train("twice", [...endless, "--resume"]);
            void second.then(() => {
              child.kill("SIGINT");
              child.kill("SIGTERM");
            });
          }, 5);
          child.on("exit", () => clearInterval(look));
        },
      },
    );
    refused(await second!, /twice.checkpoints: process \d+ on [^\n]* has worked here since/);
    expect(first.stderr).to.equal("");
    // As a shell has it for the signal that comes second, of a SIGINT and a SIGTERM in any order: two SIGINTs at once may arrive as one.
    expect(first.code).to.be.oneOf([130, 143]);
    expect(first.stdout).not.to.contain("interrupted after");
    const last = listCheckpoints(at("twice", "checkpoints")).at(-1)!.step + 2;
    const until = [...endless, "--max-steps", String(last)];
    expect((await train("twice", [...until, "--resume"])).code).to.equal(0);
    expect((await train("once", until)).code).to.equal(0);
    const weights = (run: string): Buffer => readFileSync(at(run, "weights.safetensors"));
    expect(weights("twice").equals(weights("once"))).to.equal(true);
  });

  it("takes the weights of any checkpoint to eval and export", async () => {
    const trained = await train("two", ["--max-steps", "2", "--save-every", "1", "--lr", "0.5", "--warmup", "0"]);
    expect(trained.stderr).to.equal("");
    const loss = async (...weights: string[]): Promise<number> => {
      const { stdout, stderr } = await curvsam([
        ...["eval", at("out"), "--data", at("train.tsv"), "--threads", "1", "--json", ...data, ...weights],
      ]);
      expect(stderr).to.equal("");
      return (JSON.parse(stdout) as { loss: number }).loss;
    };
    const last = await loss("--run", at("two"));
    expect(await loss("--weights", at("two", "checkpoints", "checkpoint-2"))).to.equal(last);
    expect(await loss("--weights", at("two", "checkpoints", "checkpoint-1"))).to.not.equal(last);

    const bytes = async (name: string, ...weights: string[]): Promise<Buffer> => {
      const { stderr } = await curvsam(["export", at("out"), "-o", at(name), ...weights]);
      expect(stderr).to.equal("");
      return readFileSync(at(name));
    };
    const ofRun = await bytes("run.onnx", "--run", at("two"));
    expect((await bytes("2.onnx", "--weights", at("two", "checkpoints", "checkpoint-2"))).equals(ofRun)).to.equal(true);
    expect((await bytes("1.onnx", "--weights", at("two", "checkpoints", "checkpoint-1"))).equals(ofRun)).to.equal(
      false,
    );

    const none = await curvsam(["export", at("out"), "-o", at("3.onnx"), "--weights", at("two", "checkpoints")]);
    refused(none, /checkpoints: no checkpoint is there; name a safetensors file or a folder checkpoint-<step>/);
    const nowhere = await curvsam(["export", at("out"), "-o", at("3.onnx"), "--run", at("nowhere")]);
    refused(nowhere, /nowhere: no trained weights are there/);
    expect(existsSync(at("3.onnx"))).to.equal(false);
  });

  it("stops after as many steps that are not finite as it is told", async () => {
    const blown = await train("blown", ["--lr", "1e30", "--schedule", "constant", "--max-skips", "2", "--epochs", "9"]);
    expect(blown.code).to.equal(1);
    const [taken = "", stopped = "", ...more] = blown.stderr.trimEnd().split("\n");
    expect(taken).to.match(/^curvsam: step \d+: [^\n]*not finite; the run of \d+ steps from \d+ on is taken back/);
    expect(stopped).to.match(/^curvsam: step \d+: [^\n]*not finite 2 times in a row; training stopped/);
    expect(more).to.deep.equal([]);
    expect(existsSync(at("blown", "weights.safetensors"))).to.equal(false);
  });

  it("says what fits where a model fixes its batch and its length", async () => {
    const model = loadModel(join(models, "model.onnx"));
    for (const input of model.graph.inputs) if (input.dtype === "int64") input.type = tensorType("int64", [4, 16]);
    saveModel(model, at("fixed.onnx"));
    const patched = await curvsam(["patch", at("fixed.onnx"), "-o", at("fixed"), ...fast]);
    expect(patched.stderr).to.equal("");
    refused(
      await train("small", [], undefined, "fixed"),
      /batch size 2 does not fit[^\n]*fixed at 4; use --batch-size 4/,
    );
    const four = ["--batch-size", "4", "--max-steps", "1"];
    refused(await train("small", four, undefined, "fixed"), /last batch holds 2 of 6[^\n]*--drop-last/);
    expect(existsSync(at("small"))).to.equal(false);
    const fits = await train("fits", [...four, "--drop-last"], undefined, "fixed");
    expect(fits.stderr).to.equal("");
    expect(fits.code).to.equal(0);
  });
});
