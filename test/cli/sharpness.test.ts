import { expect } from "chai";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Sharpness } from "../../src/analysis/sharpness.js";
import { curvsam } from "../support/cli.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

const mini = join(root, "models", "roberta-mini");

describe("curvsam sharpness", function () {
  this.timeout(120_000);
  const folder = temporaryFolder();
  const rows = ["sentence\tlabel", "free money now\t1", "the meeting is at noon\t0", "a prize for you\t1"];
  const data = folder.write("dev.tsv", `${rows.join("\n")}\n`);
  const usual = [
    ...["sharpness", join(mini, "model.onnx"), "--data", data, "--tokenizer", join(mini, "tokenizer.json")],
    ...["--text", "sentence", "--label", "label", "--threads", "1"],
  ];

  it("measures a model, and writes tables and pictures", async () => {
    const out = join(folder.path, "report");
    const { code, stdout, stderr } = await curvsam([
      ...[...usual, "--loss", "cross-entropy", "--batch-size", "2", "--steps", "4", "--probes", "2", "--top-k", "2"],
      ...["--landscape", "1d", "--points", "3", "--rho", "0.01,0.1", "-o", out, "--json"],
    ]);
    expect(code, stderr).to.equal(0);
    const result = JSON.parse(stdout) as Sharpness;
    expect(result).to.include({ batches: 2, curvature: "probes" });
    expect(result.eigenvalues.largest).to.have.length(2);
    expect(result.radii.map(({ radius }) => radius)).to.deep.equal([0.01, 0.1]);
    expect(result.radii.every(({ uniform }) => uniform.mean > 0)).to.equal(true);
    expect(readdirSync(out).sort()).to.deep.equal([
      ...["eigenvalues.csv", "landscape.csv", "landscape.png", "landscape.svg", "layers.csv", "radii.csv"],
      "sharpness.json",
    ]);
    expect(readFileSync(join(out, "layers.csv"), "utf8").split("\n")).to.have.length(result.layers.length + 2);
  });

  it("is measured as a package trains, where curvsam train is asked to", async () => {
    const out = join(folder.path, "package");
    const patched = await curvsam(["patch", join(mini, "model.onnx"), "-o", out, "--loss", "cross-entropy"]);
    expect(patched.code, patched.stderr).to.equal(0);
    const args = [
      ...["train", out, "--data", data, "--tokenizer", join(mini, "tokenizer.json"), "--text", "sentence"],
      ...["--label", "label", "--threads", "1", "--batch-size", "3", "--epochs", "1"],
    ];
    const { code, stderr } = await curvsam([...args, "--sharpness-every", "1", "--sharpness-batches", "1"]);
    expect(code, stderr).to.equal(0);
    const lines = readFileSync(join(out, "run", "log.jsonl"), "utf8")
      .trimEnd()
      .split("\n");
    const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    const [measured, ...others] = events.filter(({ event }) => event === "sharpness");
    expect(others).to.deep.equal([]);
    expect(measured!["largest_eigenvalue"]).to.be.above(0);
    expect(measured!["rise/0.05"]).to.be.above(0);
    const idle = await curvsam([...args, "--sharpness-rho", "0.1"]);
    expect(idle.code).to.equal(2);
    expect(idle.stderr).to.include("--sharpness-rho belongs to --sharpness-every");
  });

  it("refuses a model without a loss, and weights for a model", async () => {
    const without = await curvsam(usual);
    expect(without.code).to.equal(2);
    expect(without.stderr).to.include("--loss is missing");
    const weights = await curvsam([...usual, "--loss", "cross-entropy", "--weights", "x.safetensors"]);
    expect(weights.code).to.equal(1);
    expect(weights.stderr).to.include("--weights belong to packages");
  });
});
