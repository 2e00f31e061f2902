import { expect } from "chai";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { longestFirst, Tokenizer } from "../../src/data/tokenizer.js";
import { rejects } from "../support/rejects.js";
import { root, shared } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

interface Case {
  text: string;
  pair?: string;
  maxLength?: number;
  ids: number[];
  types: number[];
}

interface TokenizerJson {
  model: { vocab: Record<string, number>; merges?: string[] };
}

const fixtures = join(root, "test", "fixtures", "tokenizers");
const readJson = <T>(path: string): T => JSON.parse(readFileSync(path, "utf8")) as T;

async function matchesGolden(path: string, goldenName: string): Promise<void> {
  const cases = readJson<Case[]>(join(fixtures, `${goldenName}.golden.json`));
  const tokenizers = new Map<number | undefined, Tokenizer>();
  for (const maxLength of new Set(cases.map((each) => each.maxLength))) {
    tokenizers.set(maxLength, await Tokenizer.open(path, maxLength === undefined ? {} : { maxLength }));
  }
  for (const { text, pair, maxLength, ids, types } of cases) {
    const encoded = tokenizers.get(maxLength)!.encode(text, pair);
    expect(encoded, JSON.stringify({ text, pair, maxLength })).to.deep.equal({ ids, types });
  }
}

/** A large tokenizer's JSON, from its skeleton and the vocabulary in the shared data. */
function complete(name: string, folder: string, fill: (file: TokenizerJson) => void): string {
  const file = readJson<TokenizerJson>(join(fixtures, `${name}.skeleton.json`));
  fill(file);
  mkdirSync(join(folder, name), { recursive: true });
  const path = join(folder, name, "tokenizer.json");
  writeFileSync(path, JSON.stringify(file));
  return path;
}

describe("Tokenizer", () => {
  const folder = temporaryFolder();
  const bpe = join(fixtures, "bpe", "tokenizer.json");
  const wordPiece = join(fixtures, "wordpiece", "tokenizer.json");

  it("encodes as Python's tokenizers do: byte-level BPE, RoBERTa's way", () => matchesGolden(bpe, "bpe"));
  it("encodes as Python's tokenizers do: WordPiece, BERT's way", () => matchesGolden(wordPiece, "wordpiece"));

  it("encodes as bert-base-uncased does", async function () {
    const vocab = shared("tokenizer/bert-base-uncased-vocab.txt");
    if (vocab === null) return this.skip();
    const path = complete("bert-base-uncased", folder.path, (file) => {
      const words = readFileSync(vocab, "utf8").split("\n");
      file.model.vocab = Object.fromEntries(words.flatMap((word, i) => (word === "" ? [] : [[word, i]])));
    });
    await matchesGolden(path, "bert-base-uncased");
  });

  it("encodes as roberta-base does", async function () {
    const vocab = shared("tokenizer/roberta-vocab.json");
    const merges = shared("tokenizer/roberta-merges.txt");
    if (vocab === null || merges === null) return this.skip();
    const path = complete("roberta-base", folder.path, (file) => {
      file.model.vocab = readJson(vocab);
      file.model.merges = readFileSync(merges, "utf8")
        .split("\n")
        .slice(1)
        .filter((line) => line !== "");
    });
    await matchesGolden(path, "roberta-base");
    const tokenizer = await Tokenizer.open(path, { embeddingSize: 50265 });
    expect(tokenizer.encode("Hello world!").ids).to.deep.equal([0, 31414, 232, 328, 2]);
    expect(tokenizer.padId).to.equal(1);
  });

  it("splits the room between two texts, the longer giving first", () => {
    expect(longestFirst(2, 9, 8)).to.deep.equal([2, 6]);
    expect(longestFirst(9, 2, 8)).to.deep.equal([6, 2]);
    expect(longestFirst(9, 9, 7)).to.deep.equal([3, 4]);
    expect(longestFirst(9, 8, 7)).to.deep.equal([4, 3]);
    expect(longestFirst(0, 9, 4)).to.deep.equal([0, 4]);
  });

  it("takes padding and limits from the files", async () => {
    const plain = await Tokenizer.open(wordPiece);
    expect(plain).to.include({ padId: 0, padType: 0, padLeft: false, maxLength: null });
    const file = {
      ...readJson<object>(bpe),
      truncation: { max_length: 6, direction: "Left" },
      padding: { pad_id: 3, direction: "Left" },
    };
    const limited = await Tokenizer.open(folder.write("limited.json", JSON.stringify(file)));
    expect(limited).to.include({ padId: 3, padLeft: true, maxLength: 6 });
    const all = (await Tokenizer.open(bpe)).encode("the quick brown fox").ids;
    expect(limited.encode("the quick brown fox").ids).to.deep.equal([all[0], ...all.slice(-5)]);

    mkdirSync(join(folder.path, "beside"));
    const path = folder.write("beside/tokenizer.json", readFileSync(bpe, "utf8"));
    folder.write(
      "beside/tokenizer_config.json",
      JSON.stringify({ pad_token: { content: "<mask>" }, model_max_length: 128 }),
    );
    expect(await Tokenizer.open(path)).to.include({ padId: 4, maxLength: 128 });
    expect(await Tokenizer.open(path, { maxLength: 32 })).to.include({ maxLength: 32 });
  });

  it("refuses ids beyond the embedding, naming the token", async () => {
    await rejects(
      () => Tokenizer.open(bpe, { embeddingSize: 300 }),
      /tokenizer\.json: its vocabulary has ids up to 899, but the model's embedding has 300 rows; give the tokenizer/,
    );
    const added = readJson<{ added_tokens: object[] }>(bpe);
    added.added_tokens.push({ ...added.added_tokens[0], id: 905, content: "<new>" });
    const tokenizer = await Tokenizer.open(folder.write("added.json", JSON.stringify(added)), { embeddingSize: 900 });
    expect(tokenizer.encode("the world").ids).to.have.length.above(2);
    await rejects(
      () => tokenizer.encode("a <new> one"),
      'token "<new>" has id 905, but the model\'s embedding has 900',
    );
  });

  it("says what is wrong with a file", async () => {
    await rejects(() => Tokenizer.open(join(folder.path, "none.json")), "none.json: no such file");
    await rejects(() => Tokenizer.open(folder.write("a.json", "{")), "a.json: not valid JSON");
    await rejects(() => Tokenizer.open(folder.write("a.json", "{}")), "a.json: not a tokenizer");
    await rejects(() => Tokenizer.open(folder.write("a.json", "3")), "a.json: not a tokenizer");
    await rejects(
      () => Tokenizer.open(folder.write("a.json", '{"model":{"type":"X"}}')),
      "a.json: this tokenizer is not supported",
    );
    await rejects(() => Tokenizer.open(bpe, { maxLength: 4 }), "maximum length of 4 tokens leaves no room");
    const strange = { ...readJson<object>(bpe), post_processor: { type: "Strange" } };
    await rejects(() => Tokenizer.open(folder.write("a.json", JSON.stringify(strange))), 'post-processor "Strange"');
    const unpadded = {
      ...readJson<object>(bpe),
      added_tokens: [],
      model: { type: "BPE", vocab: { a: 0 }, merges: [] },
      post_processor: null,
    };
    await rejects(() => Tokenizer.open(folder.write("a.json", JSON.stringify(unpadded))), "no padding token");
  });
});
