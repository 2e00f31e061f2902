import { expect } from "chai";
import onnxProto from "onnx-proto";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { typeText } from "../../src/pack/inspect.js";
import { tensorType } from "../../src/ir/graph.js";
import { curvsam } from "../support/cli.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

const roberta = join(root, "models", "roberta-mini", "model.onnx");

const { onnx } = onnxProto;

describe("curvsam inspect", () => {
  const folder = temporaryFolder();

  it("reports a real export", async () => {
    const { code, stdout, stderr } = await curvsam(["inspect", roberta, "--json"]);
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
    const report = JSON.parse(stdout) as Record<string, unknown>;
    expect(report).to.deep.include({
      file: roberta,
      opsets: { "ai.onnx": 17 },
      inputs: [
        { name: "input_ids", type: "int64[batch, sequence]" },
        { name: "attention_mask", type: "int64[batch, sequence]" },
      ],
      outputs: [{ name: "logits", type: "float32[batch, 2]" }],
      external: { files: [], bytes: 0 },
    });
    const { parameters, ops, nodes } = report as {
      parameters: { elements: number; bytes: number };
      ops: Record<string, number>;
      nodes: number;
    };
    expect(parameters.bytes).to.equal(4 * parameters.elements);
    expect(ops).to.include({ LayerNormalization: 5, Softmax: 2, Erf: 2 });
    expect(Object.values(ops).reduce((a, b) => a + b)).to.equal(nodes);
  });

  it("says the same in text", async () => {
    const { code, stdout } = await curvsam(["inspect", roberta]);
    expect(code).to.equal(0);
    expect(stdout).to.match(/^ {2}input_ids +int64\[batch, sequence\]$/m);
    expect(stdout).to.match(/^ {2}logits +float32\[batch, 2\]$/m);
    expect(stdout).to.match(/^ {2}LayerNormalization +5$/m);
  });

  it("counts external weights of 3 GB without reading them", async () => {
    const bytes = 3e9;
    const weights = join(folder.path, "weights.bin");
    writeFileSync(weights, "");
    truncateSync(weights, bytes);
    const { FLOAT } = onnx.TensorProto.DataType;
    const external = { location: "weights.bin", offset: "0", length: String(bytes) };
    const type = { tensorType: { elemType: FLOAT, shape: { dim: [{ dimValue: bytes / 4 }] } } };
    const model = folder.write(
      "large.onnx",
      onnx.ModelProto.encode({
        irVersion: 8,
        opsetImport: [{ domain: "", version: 17 }],
        graph: {
          name: "large",
          node: [{ opType: "Identity", input: ["w"], output: ["y"] }],
          initializer: [
            {
              name: "w",
              dims: [bytes / 4],
              dataType: FLOAT,
              dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
              externalData: Object.entries(external).map(([key, value]) => ({ key, value })),
            },
          ],
          output: [{ name: "y", type }],
        },
      }).finish(),
    );
    const { code, stdout } = await curvsam(["inspect", model, "--json"]);
    expect(code).to.equal(0);
    expect(JSON.parse(stdout)).to.deep.include({
      parameters: { tensors: 1, elements: 750_000_000, bytes },
      external: { files: [weights], bytes },
    });
  });

  it("writes types so that what is open shows", () => {
    expect(typeText(tensorType("int64", ["batch", 3]))).to.equal("int64[batch, 3]");
    expect(typeText(tensorType("float32", ["?7", 1]))).to.equal("float32[?, 1]");
    expect(typeText(tensorType("float32", null))).to.equal("float32[…]");
    expect(typeText({ kind: "sequence", of: tensorType("bool", []) })).to.equal("sequence(bool[])");
  });
});
