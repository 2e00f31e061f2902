import { expect } from "chai";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { curvsam } from "../support/cli.js";
import { hostileModels } from "../support/hostile.js";
import { temporaryFolder } from "../support/temp.js";

describe("files that are no sound ONNX model", () => {
  const folder = temporaryFolder();
  const model = join(folder.path, "hostile.onnx");

  for (const [what, { bytes, says }] of Object.entries(hostileModels)) {
    it(`refuses ${what} with one line`, async () => {
      folder.write("hostile.onnx", bytes());
      const { code, stdout, stderr } = await curvsam(["inspect", model]);
      expect(stdout).to.equal("");
      expect(stderr).to.match(/^curvsam: [^\n]+\n$/);
      expect(stderr).to.contain("hostile.onnx").and.match(says).and.not.contain("internal error");
      expect(code).to.equal(1);
      expect(readdirSync(folder.path)).to.deep.equal(["hostile.onnx"]);
    });
  }

  it("refuses a folder", async () => {
    const path = join(folder.path, "folder.onnx");
    mkdirSync(path);
    const { code, stderr } = await curvsam(["inspect", path]);
    expect(code).to.equal(1);
    expect(stderr)
      .to.match(/^curvsam: [^\n]*folder\.onnx[^\n]+\n$/)
      .and.not.contain("internal error");
  });
});
