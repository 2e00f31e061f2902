import { expect } from "chai";
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { loadModel } from "../src/serde/index.js";
import { runDocumented } from "./support/cli.js";
import { root } from "./support/root.js";
import { temporaryFolder } from "./support/temp.js";

const readme = readFileSync(join(root, "README.md"), "utf8");
/** The first block of the README in this language. */
const block = (language: string): string => {
  const [, text] = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "m").exec(readme) ?? [];
  if (text === undefined) throw new Error(`README.md has no block of ${language}`);
  return text;
};

describe("the README", function () {
  this.timeout(120_000);
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder.path, name);

  before(() => {
    for (const name of ["model.onnx", "tokenizer.json"])
      copyFileSync(join(root, "models", "roberta-mini", name), at(name));
    const rows = ["free money now\t1", "see you at noon\t0", "you won a prize\t1", "the report is done\t0"];
    folder.write("train.tsv", ["sentence\tlabel", ...rows, ...rows].join("\n"));
    folder.write("dev.tsv", ["sentence\tlabel", ...rows].join("\n"));
  });

  /** The first weights of the classifier. */
  const weights = (file: string): number[] => {
    const { graph } = loadModel(file);
    const [, tensor] = [...graph.initializers].find(([value]) => value.name === "classifier.out_proj.weight")!;
    return [...tensor.float32().slice(0, 8)];
  };

  it("has commands that run in the order in which they stand", async () => {
    const lines = block("sh").trim().split("\n");
    expect(lines).to.have.lengthOf(7);
    await runDocumented(lines, folder.path);
    expect(weights(at("finetuned.onnx"))).to.not.deep.equal(weights(at("model.onnx")));
  });

  it("has a program that runs as it stands, of about ten lines", async () => {
    const program = block("js");
    expect(
      program
        .trim()
        .split("\n")
        .filter((line) => line !== ""),
    ).to.have.length.below(13);
    const library = pathToFileURL(join(root, "build", "src", "index.js")).href;
    folder.write(
      "example.mjs",
      program
        .replace('"curvsam"', JSON.stringify(library))
        .replaceAll('"out"', '"library"')
        .replaceAll("finetuned.onnx", "library.onnx"),
    );
    const child = spawn(process.execPath, ["example.mjs"], { cwd: folder.path, stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
    expect(existsSync(at("weights.safetensors"))).to.equal(true);
    expect(weights(at("library.onnx"))).to.not.deep.equal(weights(at("model.onnx")));
  });

  it("names only files that are there", () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)]
      .map(([, path]) => path!)
      .filter((path) => !path.includes("://"));
    expect(links).to.include("CONTRIBUTING.md");
    for (const path of links) expect(existsSync(join(root, path)), path).to.equal(true);
  });
});
