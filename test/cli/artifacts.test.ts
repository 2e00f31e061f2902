import { expect } from "chai";
import { join } from "node:path";
import { readCheckpoint } from "../../src/format/checkpoint.js";
import { bytesOf } from "../../src/format/checkpoint_write.js";
import { SafetensorsFile } from "../../src/format/safetensors.js";
import { must } from "../../src/util/assert.js";
import { artifactOf, lower } from "../support/artifacts.js";
import { curvsam } from "../support/cli.js";
import { Engine } from "../../src/runtime/engine.js";
import type { HostTensor } from "../../src/runtime/tensors.js";
import { temporaryFolder } from "../support/temp.js";

const words = ["free", "money", "now", "meeting", "at", "noon", "prize", "report", "is", "done"];

/** A tokenizer that knows few words: the model of the fixture has 48. */
const tokenizer = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: "Whitespace" },
  post_processor: null,
  decoder: null,
  model: {
    type: "WordPiece",
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(["[PAD]", "[UNK]", ...words].map((word, i) => [word, i])),
  },
};

/** Texts whose label is 2 with the word "free", else 0. */
const table = (n: number, from: number): string =>
  ["text\tlabel"]
    .concat(
      Array.from({ length: n }, (_, i) => {
        const others = [1, 2, 3].map((k) => words[1 + ((7 * (i + from) + 3 * k + k * k) % 9)]);
        return `${[...(i % 2 ? ["free"] : []), ...others].join(" ")}\t${i % 2 ? 2 : 0}`;
      }),
    )
    .join("\n");

describe("curvsam on training artifacts of ONNX Runtime", function () {
  this.timeout(120_000);
  const folder = temporaryFolder();
  const bert = artifactOf("bert");
  const out = join(folder.path, "out");

  it("patches, trains, evaluates, exports the model, and the weights as a checkpoint", async () => {
    const run = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await curvsam(args);
      expect(stderr).to.equal("");
      expect(code).to.equal(0);
      return stdout;
    };
    const made = ["patch", bert.training, "--checkpoint", bert.checkpoint, "-o", out];
    expect(await run(...made, "--base", "adamw", "--lr", "3e-3")).to.match(
      /trains 5,603 parameters in 40 tensors, 1 frozen, 8 dropouts/,
    );
    const train = folder.write("train.tsv", table(48, 0));
    const dev = folder.write("dev.tsv", table(16, 100));
    const words = folder.write("tokenizer.json", JSON.stringify(tokenizer));
    const data = ["--text", "text", "--label", "label", "--batch-size", "8", "--threads", "1", "--max-length", "16"];
    const before = JSON.parse(
      await run(
        "eval",
        out,
        "--data",
        dev,
        "--tokenizer",
        words,
        ...data,
        "--weights",
        join(out, "weights.safetensors"),
        "--json",
      ),
    ) as { loss: number };
    await run("train", out, "--data", train, "--tokenizer", words, ...data, "--epochs", "4");
    const after = JSON.parse(await run("eval", out, "--data", dev, "--tokenizer", words, ...data, "--json")) as {
      loss: number;
      metrics: { accuracy: number };
    };
    expect(after.loss).to.be.below(before.loss);
    expect(after.metrics.accuracy).to.be.above(0.5);

    const model = join(folder.path, "finetuned.onnx");
    await run("export", out, "-o", model);
    const report = JSON.parse(await run("inspect", model, "--json")) as { inputs: object[]; outputs: object[] };
    expect(report.inputs).to.deep.include({ name: "input_ids", type: "int64[batch, sequence]" });
    expect(report.outputs).to.deep.equal([{ name: "logits", type: "float32[batch, 3]" }]);

    const checkpoint = join(folder.path, "checkpoint");
    await run("export", out, "-o", checkpoint, "--format", "ort-checkpoint");
    const [first, exported] = [readCheckpoint(bert.checkpoint), readCheckpoint(checkpoint)];
    expect(exported.trainable.map((t) => t.name)).to.deep.equal(first.trainable.map((t) => t.name));
    expect(exported.frozen.map((t) => t.name)).to.deep.equal(first.frozen.map((t) => t.name));
    const weights = new SafetensorsFile(join(out, "run", "weights.safetensors"));
    for (const t of exported.trainable)
      expect(Buffer.from(bytesOf(t)), t.name).to.deep.equal(Buffer.from(weights.bytes(t.name)));
    weights.close();
    const again = join(folder.path, "again");
    await run("patch", bert.training, "--checkpoint", checkpoint, "-o", again, "--optimizer", "sam");
  });

  it("refuses what belongs to artifacts alone, and a loss beside them", async () => {
    const refused = async (says: RegExp, ...args: string[]): Promise<void> => {
      const { code, stderr } = await curvsam(["patch", bert.training, "-o", join(folder.path, "no"), ...args]);
      expect(stderr)
        .to.match(/^curvsam: [^\n]+\n$/)
        .and.match(says);
      expect(code).to.equal(2);
    };
    await refused(/--labels belongs to training artifacts/, "--loss", "mse", "--labels", "target");
    await refused(/--checkpoint.*cannot be used with.*--loss/, "--checkpoint", bert.checkpoint, "--loss", "mse");
    await refused(/--ignore-index belongs to --loss/, "--checkpoint", bert.checkpoint, "--ignore-index", "3");
  });
});

describe("the provider training-wasm", function () {
  this.timeout(60_000);
  const folder = temporaryFolder();

  it("takes the steps of a package as the CPU provider does", async () => {
    const gates = artifactOf("gates");
    const out = join(folder.path, "out");
    const { code } = await curvsam([
      "patch",
      gates.training,
      "--checkpoint",
      gates.checkpoint,
      "-o",
      out,
      "--lr",
      "0.1",
    ]);
    expect(code).to.equal(0);
    const { source, feeds } = await lower(gates);
    const batch: Record<string, HostTensor> = {};
    for (const name of [...source.inputs.keys(), "labels"]) {
      const { dims, data } = must(feeds.get(name), name);
      batch[name] = { dtype: "float32", dims, data: Float32Array.from(data as Float64Array) };
    }
    const losses: number[][] = [];
    for (const provider of ["cpu", "training-wasm"]) {
      const engine = await Engine.open(out, { provider, seed: 1, threads: 1 });
      const taken: number[] = [];
      for (let t = 0; t < 3; t++)
        taken.push(must((await engine.step([{ feeds: batch }])).diagnostics["loss"], "a loss"));
      taken.push((await engine.evaluate({ feeds: batch })).lossSum);
      await engine.close();
      losses.push(taken);
    }
    const [cpu, wasm] = losses;
    expect(cpu?.[2]).to.be.below(cpu?.[0] ?? NaN);
    cpu?.forEach((loss, i) => expect(wasm?.[i]).to.be.closeTo(loss, 1e-5));
  });
});
