import { expect } from "chai";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer } from "../../src/data/tokenizer.js";
import { rejects } from "../support/rejects.js";
import { root, shared } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

interface Setup {
  config: Record<string, unknown>;
  cases: { text: string; pair?: string; ids: number[]; types: number[] }[];
}
interface Model {
  model: { vocab: Record<string, number>; merges: (string | string[])[] };
}

const fixtures = join(root, "test", "fixtures", "tokenizers");
const golden = JSON.parse(readFileSync(join(fixtures, "vocabulary.golden.json"), "utf8")) as Record<string, Setup>;
const modelOf = (name: string): Model["model"] =>
  (JSON.parse(readFileSync(join(fixtures, name, "tokenizer.json"), "utf8")) as Model).model;

describe("tokenizers from vocab.json and merges.txt, or vocab.txt", function () {
  this.timeout(30_000);
  const folder = temporaryFolder();
  const at = (...names: string[]): string => join(folder.path, ...names);
  let made = 0;
  /** A folder with these files. */
  function files(contents: Record<string, string>): string {
    const path = at(`tokenizer${made++}`);
    mkdirSync(path);
    for (const [name, text] of Object.entries(contents)) writeFileSync(join(path, name), text);
    return path;
  }
  const { vocab, merges } = modelOf("bpe");
  const mergeLines = merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" ")));
  const bpe = {
    "vocab.json": JSON.stringify(vocab),
    "merges.txt": ["#version: 0.2", ...mergeLines, ""].join("\n"),
  };
  const words = Object.entries(modelOf("wordpiece").vocab).sort(([, a], [, b]) => a - b);
  const wordPiece = { "vocab.txt": `${words.map(([word]) => word).join("\n")}\n` };
  const small: Record<string, Record<string, string>> = {
    "roberta-small": bpe,
    "roberta-small-prefixed": bpe,
    "bert-small": wordPiece,
    "bert-small-cased": wordPiece,
  };
  const large: Record<string, Record<string, string>> = {
    gpt2: { "vocab.json": "gpt2-encoder.json", "merges.txt": "roberta-merges.txt" },
    "roberta-base": { "vocab.json": "roberta-vocab.json", "merges.txt": "roberta-merges.txt" },
    "bert-base-uncased": { "vocab.txt": "bert-base-uncased-vocab.txt" },
  };

  async function matches(name: string, path: string): Promise<void> {
    const { config, cases } = golden[name]!;
    // GPT-2 has no padding of its own.
    const stated = name === "gpt2" ? { ...config, pad_token: "<|endoftext|>" } : config;
    writeFileSync(join(path, "tokenizer_config.json"), JSON.stringify(stated));
    const tokenizer = await Tokenizer.open(path);
    for (const { text, pair, ids, types } of cases) {
      expect(tokenizer.encode(text, pair), JSON.stringify({ text, pair })).to.deep.equal({ ids, types });
    }
  }

  for (const [name, contents] of Object.entries(small)) {
    it(`encode as transformers does: ${name}`, () => matches(name, files(contents)));
  }
  for (const [name, sources] of Object.entries(large)) {
    it(`encode as transformers does: ${name}`, async function () {
      const path = files({});
      for (const [to, from] of Object.entries(sources)) {
        const file = shared(`tokenizer/${from}`);
        if (file === null) return this.skip();
        copyFileSync(file, join(path, to));
      }
      await matches(name, path);
    });
  }

  it("are opened by any of their files, or by the folder, where tokenizer.json comes first", async () => {
    const text = "the quick brown fox";
    const path = files(bpe);
    const { ids } = (await Tokenizer.open(path)).encode(text);
    for (const name of Object.keys(bpe))
      expect((await Tokenizer.open(join(path, name))).encode(text).ids).to.deep.equal(ids);
    const both = files({
      ...bpe,
      "tokenizer.json": readFileSync(join(fixtures, "wordpiece", "tokenizer.json"), "utf8"),
    });
    const first = await Tokenizer.open(both);
    expect(first.encode(text)).to.deep.equal((await Tokenizer.open(join(fixtures, "wordpiece"))).encode(text));
  });

  it("take tokens that were added later, and the limits, from the files beside", async () => {
    const config = {
      model_max_length: 12,
      pad_token: { content: "<pad>" },
      added_tokens_decoder: { 900: { content: "<user>", special: true } },
    };
    const path = files({ ...bpe, "tokenizer_config.json": JSON.stringify(config) });
    const tokenizer = await Tokenizer.open(path);
    expect(tokenizer).to.include({ maxLength: 12, padId: vocab["<pad>"] });
    expect(tokenizer.encode("to <user>").ids).to.include(900);
  });

  it("say what is wrong with a file", async () => {
    const refuse = (contents: Record<string, string>, name: string | null, ...says: (string | RegExp)[]) => {
      const path = files(contents);
      return rejects(() => Tokenizer.open(name === null ? path : join(path, name)), ...says);
    };
    await refuse(
      {},
      null,
      "no tokenizer is there; expected tokenizer.json, or vocab.json and merges.txt, or vocab.txt",
    );
    await refuse(
      { "spiece.model": "" },
      null,
      "spiece.model alone is not supported: save the tokenizer as tokenizer.json",
    );
    await refuse({ "vocab.json": "{}" }, "vocab.json", "merges.txt: no such file; byte-level BPE needs");
    await refuse({ "merges.txt": "" }, "merges.txt", "vocab.json: no such file; byte-level BPE needs");
    await refuse({ ...bpe, "vocab.json": "[1]" }, null, "vocab.json: not a vocabulary");
    await refuse({ ...bpe, "vocab.json": '{"a": -1}' }, null, 'vocab.json: token "a" has the id -1; a whole number');
    await refuse({ ...bpe, "vocab.json": "{" }, null, "vocab.json: not valid JSON");
    await refuse(
      { ...bpe, "merges.txt": "#version: 0.2\na b\na b c\n" },
      null,
      /merges\.txt line 3: "a b c" is no merge/,
    );
    await refuse({ ...bpe, "vocab.json": '{"<|startoftext|>": 0}' }, null, "this is CLIP's vocabulary");
    await refuse({ "vocab.txt": "" }, null, "vocab.txt: the vocabulary is empty");
    await refuse({ "vocab.txt": "a\nb\n" }, null, 'vocab.txt: it has no "[UNK]"; this is not the vocabulary of');
    await rejects(() => Tokenizer.open(at("nowhere")), "nowhere: no such file");
    await rejects(
      () => Tokenizer.open(files(bpe), { embeddingSize: Object.keys(vocab).length - 100 }),
      /vocab\.json: its vocabulary has ids up to 899, but the model's embedding has 800 rows; give the tokenizer that/,
    );
  });
});
