import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { problems } from "../../src/ir/verify.js";
import { loadModel, serializeModel } from "../../src/serde/index.js";
import { backendData } from "../support/backend.js";
import { normalize } from "./normalize.js";

describe("serde: every model of the ONNX backend tests", () => {
  it("means the same after a load and a save", function () {
    this.timeout(60_000);
    const folder = backendData();
    if (!folder) {
      console.log("      skipped: ../shared/data/onnx is absent");
      return this.skip();
    }
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".onnx"));
    expect(files.length).to.be.greaterThan(1900);
    for (const name of files) {
      const file = join(folder, name);
      const model = loadModel(file);
      expect(problems(model), name).to.deep.equal([]);
      const before = normalize(readFileSync(file));
      const after = normalize(serializeModel(model));
      if (JSON.stringify(before) !== JSON.stringify(after)) expect(after, name).to.deep.equal(before);
    }
  });
});
