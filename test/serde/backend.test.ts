import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { loadModel, serializeModel } from "../../src/serde/index.js";
import { shared } from "../support/root.js";
import { normalize } from "./normalize.js";

describe("serde: every model of the ONNX backend tests", () => {
  const archive = shared("onnx/onnx-backend-test-data-v1.22.0.tar.xz");
  let folder = "";

  before(function () {
    if (!archive) {
      console.log("      skipped: ../shared/data/onnx is absent");
      this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), "curvsam-onnx-"));
    try {
      execFileSync("tar", ["-xJf", archive, "-C", folder, "--wildcards", "*.onnx"], { stdio: "ignore" });
    } catch {
      console.log("      skipped: no tar here that unpacks .tar.xz");
      this.skip();
    }
  });

  after(() => {
    if (folder) rmSync(folder, { recursive: true });
  });

  it("means the same after a load and a save", function () {
    this.timeout(60_000);
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".onnx"));
    expect(files.length).to.be.greaterThan(1900);
    for (const name of files) {
      const file = join(folder, name);
      const before = normalize(readFileSync(file));
      const after = normalize(serializeModel(loadModel(file)));
      if (JSON.stringify(before) !== JSON.stringify(after)) expect(after, name).to.deep.equal(before);
    }
  });
});
