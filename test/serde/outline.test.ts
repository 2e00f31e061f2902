import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { Model } from "../../src/ir/graph.js";
import { loadModel, parseModel, serializeModel } from "../../src/serde/index.js";
import { UserError } from "../../src/util/assert.js";
import { root } from "../support/root.js";
import { bytesOf, floats, info, model, node } from "./models.js";

const many = 40_000;
const raw = (fill: number): Uint8Array => new Uint8Array(4 * many).fill(fill);
const large = (name: string, fill: number) => ({
  name,
  dataType: 1,
  dims: [many],
  rawData: raw(fill),
  docString: "after",
});

const mixed = (): Uint8Array =>
  bytesOf(
    model(
      {
        input: [info("x")],
        node: [node("Relu", ["x"], ["y"])],
        initializer: [
          large("first", 1),
          floats("small", [1, 2]),
          { name: "typed", dataType: 1, dims: [many], floatData: Array.from({ length: many }, (_, i) => i) },
          large("second", 2),
        ],
        output: [info("y")],
      },
      { docString: "the end" },
    ),
  );

const inFile = ({ graph }: Model): string[] =>
  [...graph.initializers].filter(([, { storage }]) => "external" in storage).map(([{ name }]) => name);

describe("large files", () => {
  let folder: string;
  let file: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "curvsam-outline-"));
    file = join(folder, "model.onnx");
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const outlined = (): Model => loadModel(file, { outlinedFrom: 0 });

  it("leave large raw weights in the file, and hold what a whole read holds", () => {
    const bytes = mixed();
    writeFileSync(file, bytes);
    const read = outlined();
    expect(inFile(read)).to.deep.equal(["first", "second"]);
    expect(serializeModel(read)).to.deep.equal(serializeModel(parseModel(bytes)));
  });

  it("are refused as a whole read refuses them where they are cut off", () => {
    const bytes = mixed();
    for (let cut = 1; cut < bytes.byteLength; cut += 2999) {
      writeFileSync(file, bytes.subarray(0, cut));
      const message = (read: () => Model): string => {
        try {
          read();
        } catch (error) {
          if (error instanceof UserError) return error.message;
          throw error;
        }
        return "read";
      };
      expect(message(outlined), `cut at ${cut}`).to.equal(message(() => loadModel(file)));
    }
  });

  it("of exporters are read alike", () => {
    const bytes = readFileSync(join(root, "models", "roberta-mini", "model.onnx"));
    writeFileSync(file, bytes);
    const read = outlined();
    expect(inFile(read).length).to.be.greaterThan(5);
    expect(serializeModel(read)).to.deep.equal(serializeModel(parseModel(bytes)));
  });
});
