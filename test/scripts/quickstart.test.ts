import { expect } from "chai";
import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { quickstart } from "../../scripts/quickstart.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

describe("quickstart", () => {
  const folder = temporaryFolder();

  it("patches, trains, exports, agrees with plain ONNX Runtime, and draws, on a few messages", async () => {
    const lines: string[] = [];
    const out = join(folder.path, "out");
    const result = await quickstart({ out, messages: 90, epochs: 1, say: (line) => lines.push(line) });
    expect(result.agreeing).to.equal(result.heldOut);
    expect(result.largestDifference).to.be.below(1e-5);
    expect(result.after.loss).to.be.below(result.before.loss);
    expect(result.after.metrics).to.include.keys("accuracy", "f1", "auc");
    expect(lines.map((line) => line.split(" ")[0])).to.deep.equal([
      "mail",
      "patch",
      "train",
      "epoch",
      "export",
      "curves",
    ]);
    expect(readFileSync(join(out, "curves.png")).subarray(1, 4).toString()).to.equal("PNG");
    expect(readFileSync(join(out, "log.jsonl"), "utf8").trim().split("\n").length).to.be.above(4);
  });

  it("stops at Ctrl-C with exit code 130 and one word, and leaves nothing half-written", async () => {
    const out = join(folder.path, "stopped");
    const script = join(root, "build", "scripts", "quickstart.js");
    const child = spawn(process.execPath, [script, out], { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      if (stdout.includes("patch ")) child.kill("SIGINT");
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(stderr).to.equal("interrupted\n");
    expect(stdout).to.not.contain("epoch");
    expect(code).to.equal(130);
    const left = readdirSync(out);
    expect(left).to.include("package").and.not.include("finetuned.onnx");
    expect(left.filter((name) => name.startsWith(".") || name.includes("tmp"))).to.deep.equal([]);
  });
});
