import { expect } from "chai";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newModel, tensorType, Value } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";
import * as e from "../../src/ops/emit.js";
import { saveModel } from "../../src/serde/index.js";
import { curvsam } from "../support/cli.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

const roberta = join(root, "models", "roberta-mini", "model.onnx");

interface Manifest {
  loss: Record<string, unknown>;
  optimizer: Record<string, unknown>;
  parameters: Record<string, { trainable: boolean; group: string }>;
  hyper: Record<string, { default: number }>;
  schedule: { graph: string; every: number }[];
}

describe("curvsam patch", () => {
  const folder = temporaryFolder();
  const out = join(folder.path, "out");
  const manifest = (path = out): Manifest => JSON.parse(readFileSync(join(path, "manifest.json"), "utf8")) as Manifest;

  /** Wrong input or usage: one line that matches, nothing on stdout, nothing written. */
  async function refused(expected: number, says: RegExp, ...args: string[]): Promise<void> {
    const before = readdirSync(folder.path);
    const { code, stdout, stderr } = await curvsam(["patch", ...args]);
    expect(stderr)
      .to.match(/^curvsam: [^\n]+\n$/)
      .and.match(says)
      .and.not.contain("internal error");
    expect(stdout).to.equal("");
    expect(code).to.equal(expected);
    expect(readdirSync(folder.path)).to.deep.equal(before);
  }

  it("writes the paper's optimizer when nothing else is said, and exports the model back", async () => {
    const { code, stdout, stderr } = await curvsam(["patch", roberta, "-o", out, "--loss", "cross-entropy", "--json"]);
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
    const report = JSON.parse(stdout) as { folder: string; graphs: Record<string, { file: string }> };
    expect(report.folder).to.equal(out);
    expect(Object.keys(report.graphs)).to.include.members([
      "forward",
      "evaluate",
      "gradient",
      "step",
      "curvature_step",
    ]);
    for (const { file } of Object.values(report.graphs)) expect(existsSync(join(out, file)), file).to.equal(true);
    expect(manifest().optimizer).to.include({ ascent: "curvsam", base: "sgd", estimator: "hvp", frequency: 5 });
    expect(manifest().schedule[0]).to.include({ graph: "curvature_step", every: 5 });
    expect(manifest().hyper["hyper/delta"]?.default).to.equal(0.01);

    const exported = join(folder.path, "exported.onnx");
    expect((await curvsam(["export", out, "-o", exported])).code).to.equal(0);
    const [source, result] = await Promise.all(
      [roberta, exported].map(
        async (path) => JSON.parse((await curvsam(["inspect", path, "--json"])).stdout) as object,
      ),
    );
    for (const key of ["inputs", "outputs"] as const) {
      expect(result)
        .to.have.property(key)
        .that.deep.equals((source as Record<string, unknown>)[key]);
    }
    const again = await curvsam(["export", out, "-o", exported]);
    expect(again.code).to.equal(1);
    expect(again.stderr).to.match(/^curvsam: [^\n]*exported\.onnx: the file exists already[^\n]*--force\n$/);
  });

  it("takes loss, optimizer, groups and frozen parameters from the options", async () => {
    const path = join(folder.path, "tuned");
    const { code, stdout, stderr } = await curvsam([
      ...["patch", roberta, "-o", path, "--loss", "cross-entropy", "--logits", "logits"],
      ...["--label-smoothing", "0.1", "--class-weights", "1,2.5", "--ignore-index", "-100"],
      ...["--optimizer", "sam", "--base", "adamw", "--lr", "2e-5", "--rho", "0.02", "--hyper", "beta2=0.98"],
      ...["--freeze", "*embeddings*", "--no-decay", "*.bias", "--no-decay", "*LayerNorm*"],
    ]);
    expect(code).to.equal(0);
    expect(stderr).to.equal("");
    expect(stdout).to.match(/tuned: trains [\d,]+ parameters in \d+ tensors, 5 frozen/);
    const { loss, optimizer, parameters, hyper } = manifest(path);
    expect(loss).to.deep.include({
      kind: "cross-entropy",
      labelSmoothing: 0.1,
      classWeights: [1, 2.5],
      ignoreIndex: -100,
    });
    expect(optimizer).to.include({ ascent: "sam", base: "adamw" });
    expect(hyper["hyper/rho"]?.default).to.equal(0.02);
    expect(hyper["hyper/beta2"]?.default).to.equal(0.98);
    expect(hyper["hyper/lr"]?.default).to.equal(2e-5);
    expect(hyper["hyper/weight_decay/no_decay"]?.default).to.equal(0);
    for (const [name, { trainable, group }] of Object.entries(parameters)) {
      expect(trainable, name).to.equal(!name.includes("embeddings"));
      expect(group, name).to.equal(/\.bias$|LayerNorm/.test(name) ? "no_decay" : "default");
    }
  });

  it("replaces a package only when told to, and nothing else even then", async () => {
    const path = join(folder.path, "again");
    const command = ["patch", roberta, "-o", path, "--loss", "cross-entropy", "--optimizer", "none"];
    expect((await curvsam(command)).code).to.equal(0);
    await refused(1, /again: the folder exists already/, ...command.slice(1));
    expect((await curvsam([...command, "--force", "--base", "adamw"])).code).to.equal(0);
    expect(manifest(path).optimizer).to.include({ base: "adamw" });
    const precious = join(folder.path, "precious");
    mkdirSync(precious);
    writeFileSync(join(precious, "thesis.txt"), "years of work");
    await refused(1, /precious: the folder holds other things/, roberta, "-o", precious, "--loss", "mse", "--force");
    expect(readdirSync(precious)).to.deep.equal(["thesis.txt"]);
  });

  const refusals: [string, number, RegExp, string[]][] = [
    ["no loss", 2, /--loss is missing/, []],
    ["an unknown loss", 2, /cross-entropy/, ["--loss", "hinge"]],
    ["two losses", 2, /cannot be used with/, ["--loss", "mse", "--loss-output", "loss"]],
    ["label smoothing of an mse", 2, /--label-smoothing belongs to/, ["--loss", "mse", "--label-smoothing", "0.1"]],
    ["an unknown optimizer", 2, /samm.*none, sam, asam, curvsam/, ["--loss", "mse", "--optimizer", "samm"]],
    ["an unknown base", 2, /sgdd.*sgd, adamw/, ["--loss", "mse", "--base", "sgdd"]],
    [
      "a hyper-parameter of another",
      2,
      /no hyper-parameter "beta"/,
      ["--loss", "mse", "--optimizer", "sam", "--beta", "0.9"],
    ],
    ["momentum of AdamW", 2, /momentum/, ["--loss", "mse", "--base", "adamw", "--momentum", "0.9"]],
    ["Nesterov without momentum", 2, /nesterov needs momentum/, ["--loss", "mse", "--nesterov"]],
    ["dropout without --train-mode", 2, /--dropout belongs to --train-mode/, ["--loss", "mse", "--dropout", "0.2"]],
    ["dropout at no place", 2, /no such place/, ["--loss", "mse", "--train-mode", "--dropout-at", "heads"]],
    ["nothing to restore", 1, /--train-mode: nothing to restore/, ["--loss", "mse", "--train-mode", "--dropout", "0"]],
    ["a probe of no one", 2, /normal.*rademacher/, ["--loss", "mse", "--probe", "cauchy"]],
    ["a negative learning rate", 2, /--lr <x>.*expected a number >= 0/, ["--loss", "mse", "--lr", "-1"]],
    ["a frequency of zero", 2, /--frequency.*expected a whole number >= 1/, ["--loss", "mse", "--frequency", "0"]],
    ["an unknown precision", 2, /--precision.*float32, mixed/, ["--loss", "mse", "--precision", "fp16"]],
    [
      "an unknown storage",
      2,
      /--store-activations.*float32, float16/,
      ["--loss", "mse", "--store-activations", "int8"],
    ],
    [
      "K-FAC in mixed precision",
      1,
      /kfac reads activations.*take another base/,
      ["--loss", "cross-entropy", "--optimizer", "none", "--base", "kfac", "--precision", "mixed"],
    ],
    ["an absent logits name", 1, /logit\b.*"?logits"?/, ["--loss", "cross-entropy", "--logits", "logit"]],
    ["an absent loss output", 1, /loss.*logits/, ["--loss-output", "loss"]],
    ["everything frozen", 1, /no parameter is left to train/, ["--loss", "cross-entropy", "--freeze", "*"]],
    [
      "a glob of nothing",
      1,
      /--train "nothing" matches no parameter/,
      ["--loss", "cross-entropy", "--train", "nothing"],
    ],
    [
      "a misspelt glob",
      1,
      /--freeze "\*embedings\*" matches no parameter; did you mean "\*embeddings\*"\?/,
      ["--loss", "cross-entropy", "--freeze", "*embedings*"],
    ],
  ];
  for (const [what, code, says, options] of refusals) {
    it(`refuses ${what}`, () => refused(code, says, roberta, "-o", join(folder.path, "refused"), ...options));
  }

  it("refuses a model in float16, in mixed precision too", async () => {
    const b = newBuilder("half");
    const x = b.input("x", tensorType("float32", ["batch", 4]));
    const w = new Value("w", tensorType("float16", [4, 2]));
    b.graph.initializers.set(w, Tensor.of("float16", [4, 2], [1, 2, 3, 4, 5, 6, 7, 8]));
    const product = b.op("MatMul", [e.cast(b, x, "float16"), w]);
    b.output(e.cast(b, product, "float32"), "wide");
    b.output(product, "narrow");
    const model = join(folder.path, "half.onnx");
    saveModel(newModel(b.graph), model);
    const options = ["-o", join(folder.path, "refused"), "--loss", "cross-entropy", "--precision", "mixed", "--logits"];
    await refused(1, /half\.onnx: parameter "w" is float16; .*export the model in float32/, model, ...options, "wide");
    await refused(1, /output "narrow".* is float16; training needs float32 models/, model, ...options, "narrow");
  });

  it("refuses a model that is not there, and a parent folder that is not there", async () => {
    const output = join(folder.path, "refused");
    await refused(1, /absent\.onnx/, "absent.onnx", "-o", output, "--loss", "mse");
    await refused(
      1,
      /no such file or folder/,
      roberta,
      "-o",
      join(folder.path, "no", "such"),
      "--loss",
      "cross-entropy",
    );
  });
});
