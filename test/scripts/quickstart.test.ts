import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { quickstart } from "../../scripts/quickstart.js";
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
});
