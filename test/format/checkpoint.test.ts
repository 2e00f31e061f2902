import { expect } from "chai";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { readCheckpoint, type Checkpoint, type CheckpointTensor } from "../../src/format/checkpoint.js";
import { bytesOf, writeCheckpoint } from "../../src/format/checkpoint_write.js";
import { artifactOf } from "../support/artifacts.js";
import { rejects } from "../support/rejects.js";
import { shared } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

const plain = (t: CheckpointTensor) => ({
  name: t.name,
  dtype: t.dtype,
  shape: t.shape,
  bytes: Buffer.from(bytesOf(t)),
});
const content = (c: Checkpoint) => ({
  ...c,
  trainable: c.trainable.map(plain),
  frozen: c.frozen.map(plain),
  optimizer: c.optimizer.map((g) => ({ ...g, states: [...g.states].map(([name, ts]) => [name, ts.map(plain)]) })),
});

const floats = (values: readonly number[]): { bytes: Uint8Array } => ({
  bytes: new Uint8Array(Float32Array.from(values).buffer),
});

const made: Checkpoint = {
  trainable: [
    { name: "w", dtype: "float32", shape: [2, 3], data: floats([1, 2, 3, 4, 5, NaN]) },
    { name: "scalar", dtype: "float32", shape: [], data: floats([7]) },
    { name: "empty", dtype: "float32", shape: [0], data: floats([]) },
  ],
  frozen: [
    { name: "ids 名", dtype: "int64", shape: [1], data: { bytes: new Uint8Array(BigInt64Array.of(-3n).buffer) } },
  ],
  nominal: false,
  optimizer: [
    {
      name: "group0",
      step: 12n,
      learningRate: 0.5,
      states: new Map([["w", [{ name: "momentum0", dtype: "float32", shape: [1], data: floats([0.25]) }]]]),
    },
  ],
  properties: new Map<string, bigint | number | string>([
    ["epoch", 3n],
    ["best", 0.5],
    ["note", "hello"],
  ]),
};

describe("checkpoints of ONNX Runtime training", () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder.path, name);

  for (const name of ["bert", "resnet", "gates"]) {
    it(`reads ${name}, and writes it back value for value`, () => {
      const read = readCheckpoint(artifactOf(name).checkpoint);
      expect(read.trainable.length).to.be.above(1);
      writeCheckpoint(at(name), read);
      expect(content(readCheckpoint(at(name)))).to.deep.equal(content(read));
      expect(existsSync(at(`${name}.data`))).to.equal(false);
    });
  }

  it("keeps optimizer states, properties, scalars and tensors of no element", () => {
    writeCheckpoint(at("made"), made);
    expect(content(readCheckpoint(at("made")))).to.deep.equal(content(made));
  });

  it("puts the elements of a large one beside it, and reads them there", () => {
    const read = readCheckpoint(artifactOf("bert").checkpoint);
    writeCheckpoint(at("large"), read, 10000);
    expect(readFileSync(at("large")).byteLength).to.be.below(10000);
    expect(existsSync(at("large.data"))).to.equal(true);
    const again = readCheckpoint(at("large"));
    expect(again.trainable[0]?.data).to.have.property("external");
    expect(content(again)).to.deep.equal(content(read));
  });

  it("writes what ONNX Runtime's training build opens, with its weights", async () => {
    const { training, checkpoint } = artifactOf("gates");
    writeCheckpoint(at("opened"), readCheckpoint(checkpoint));
    const entry = createRequire(import.meta.url).resolve("onnxruntime-web-training");
    const { href } = pathToFileURL(join(dirname(entry), "ort.training.wasm.min.mjs"));
    const ort = (await import(`${href}?checkpoint`)) as TrainingBuild;
    ort.env.wasm.numThreads = 1;
    const open = async (state: string): Promise<Float32Array> => {
      const session = await ort.TrainingSession.create(
        { checkpointState: new Uint8Array(readFileSync(state)), trainModel: new Uint8Array(readFileSync(training)) },
        { logSeverityLevel: 4 },
      );
      return (await session.getContiguousParameters(true)).data;
    };
    const [mine, theirs] = [await open(at("opened")), await open(checkpoint)];
    expect(mine.length).to.be.above(50);
    expect(mine).to.deep.equal(theirs);
  });

  it("reads the checkpoints that others made, nominal ones too", function () {
    const folder = shared("ort-artifacts/mlp");
    if (!folder) return this.skip();
    for (const name of ["checkpoint.ckpt", "ort_format_checkpoint"])
      expect(readCheckpoint(join(folder, name)).trainable.length, name).to.be.above(1);
    const { nominal, trainable } = readCheckpoint(join(folder, "nominal_checkpoint"));
    expect(nominal).to.equal(true);
    expect(trainable.map((t) => t.name)).to.include("fc1.weight");
  });

  describe("refuses, in one line,", () => {
    const whole = readFileSync(artifactOf("gates").checkpoint);
    const refused = (name: string, bytes: Uint8Array, ...says: RegExp[]): void => {
      it(name, async () => {
        const file = folder.write(name, bytes);
        await rejects(() => readCheckpoint(file), file, ...says);
      });
    };
    for (const part of [0.1, 0.5, 0.9]) {
      refused(
        `a file that ends after ${part * 100} %`,
        whole.subarray(0, Math.floor(whole.length * part)),
        /truncated|damaged/,
      );
    }
    refused("an empty file", new Uint8Array(), /empty/);
    refused("seven bytes", new TextEncoder().encode("1234ODT"), /not a checkpoint/);
    refused("eight bytes", new TextEncoder().encode("1234ODTC"), /truncated/);
    refused("an ONNX model", readFileSync(artifactOf("gates").training), /not a checkpoint.*"ODTC" expected/);
    it("another version", async () => {
      const bytes = Buffer.from(whole);
      const root = bytes.readUInt32LE(0);
      const vtable = root - bytes.readInt32LE(root);
      bytes.writeInt32LE(3, root + bytes.readUInt16LE(vtable + 4));
      await rejects(() => readCheckpoint(folder.write("version", bytes)), /version 3; version 2 is read/);
    });
    it("a file that is not there", () => rejects(() => readCheckpoint(at("absent")), /absent: cannot read/));
    it("elements that are not beside it", async () => {
      writeCheckpoint(at("apart"), readCheckpoint(artifactOf("bert").checkpoint), 10000);
      copyFileSync(at("apart"), at("moved"));
      await rejects(() => readCheckpoint(at("moved")), /moved\.data: no such file/);
      folder.write("moved.data", readFileSync(at("apart.data")).subarray(0, 100));
      await rejects(() => readCheckpoint(at("moved")), /moved\.data.*truncated/);
    });
  });
});

interface TrainingBuild {
  env: { wasm: { numThreads: number } };
  TrainingSession: {
    create(
      files: { checkpointState: Uint8Array; trainModel: Uint8Array },
      options: { logSeverityLevel: number },
    ): Promise<{ getContiguousParameters(trainableOnly: boolean): Promise<{ data: Float32Array }> }>;
  };
}
