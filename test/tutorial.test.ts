import { expect } from "chai";
import { spawn, type ChildProcess } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { Tokenizer } from "../src/data/tokenizer.js";
import { SafetensorsFile } from "../src/format/safetensors.js";
import { runDocumented } from "./support/cli.js";
import { root } from "./support/root.js";
import { temporaryFolder } from "./support/temp.js";

const tutorial = readFileSync(join(root, "docs", "TUTORIAL.md"), "utf8");
const blocks = (language: string): string[] =>
  [...tutorial.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map(([, text]) => text!);

/** The tutorial as it stands, with roberta-mini in the place of the export; its Python is run by scripts/check_tutorial.py. */
describe("the tutorial", function () {
  this.timeout(120_000);
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder.path, name);

  before(() => {
    mkdirSync(at("model"));
    for (const name of ["model.onnx", "tokenizer.json"])
      copyFileSync(join(root, "models", "roberta-mini", name), at(`model/${name}`));
    const rows = ["a delightful film\t1", "far too long\t0", "fresh and funny\t1", "dull from the start\t0"];
    folder.write("train.tsv", ["sentence\tlabel", ...rows, ...rows].join("\n"));
    folder.write("dev.tsv", ["sentence\tlabel", ...rows].join("\n"));
  });

  it("has commands that run in the order in which they stand", async () => {
    const commands = blocks("sh").flatMap((block) => block.trim().split("\n"));
    expect(commands).to.have.length(8);
    await runDocumented(commands, folder.path);
    expect(readFileSync(at("report.html"), "utf8")).to.include("Confusion matrix");
    const names = SafetensorsFile.using(at("finetuned.safetensors"), (file) => [...file.entries.keys()]);
    expect(names).to.include("classifier.out_proj.weight");
  });

  /** A program of the tutorial, which imports packages by their names. */
  function start(name: string, program: string, env: Record<string, string> = {}): ChildProcess {
    const imports = {
      '"curvsam"': pathToFileURL(join(root, "build", "src", "index.js")).href,
      '"onnxruntime-node"': import.meta.resolve("onnxruntime-node"),
    };
    let text = program;
    for (const [from, to] of Object.entries(imports)) text = text.replaceAll(from, JSON.stringify(to));
    folder.write(name, text);
    return spawn(process.execPath, [name], { cwd: folder.path, env: { ...process.env, ...env } });
  }

  it("has a server that answers as the exported model decides", async () => {
    const server = start("server.mjs", blocks("js")[0]!, { PORT: "0" });
    try {
      const address = await new Promise<string>((resolve, reject) => {
        server.stdout!.once("data", (line: Buffer) => resolve(line.toString().trim()));
        server.once("exit", (code) => reject(new Error(`the server ended with code ${code}`)));
      });
      const sentence = "a delightful film";
      const answer = await fetch(address, { method: "POST", body: sentence });
      const { label, score } = (await answer.json()) as { label: string; score: number };

      const { ids } = (await Tokenizer.open(at("model/tokenizer.json"))).encode(sentence);
      const int64 = (values: readonly number[]) =>
        new Tensor("int64", BigInt64Array.from(values, BigInt), [1, ids.length]);
      const session = await InferenceSession.create(at("finetuned.onnx"));
      const { logits } = await session.run({ input_ids: int64(ids), attention_mask: int64(ids.map(() => 1)) });
      await session.release();
      const [no, yes] = logits!.data as Float32Array;
      expect(label).to.equal(yes! > no! ? "positive" : "negative");
      expect(score).to.be.closeTo(1 / (1 + Math.exp(-Math.abs(yes! - no!))), 1e-6);
    } finally {
      server.kill();
    }
  });

  it("has a program that trains as the command does, and more", async () => {
    const child = start("train.mjs", blocks("js")[1]!);
    let [stdout, stderr] = ["", ""];
    child.stdout!.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect([stderr, code]).to.deep.equal(["", 0]);
    expect(stdout).to.match(/^1 0\.\d+ [\d.]+\n1 steps\n$/);
  });
});
