import { expect } from "chai";
import { join } from "node:path";
import type { Batch, BatchSource, Feed, InputSpec } from "../../src/data/batch.js";
import type { Examples } from "../../src/data/examples.js";
import { Sampler, type SamplerOptions } from "../../src/data/sampler.js";
import { fixedSequenceLength, TextBatches, type TextBatchOptions } from "../../src/data/text_batches.js";
import { Tokenizer } from "../../src/data/tokenizer.js";
import type { JsonValue } from "../../src/util/json.js";
import { rejects } from "../support/rejects.js";
import { root } from "../support/root.js";

const free: InputSpec = { dtype: "int64", shape: ["batch", "sequence"] };
const inputs = { input_ids: free, attention_mask: free };
const targets: Record<string, InputSpec> = { labels: { dtype: "int64", shape: ["batch"] } };
const words = ["the", "a", "quick brown", "fox jumps over it", "", "dog", "and then"];
const examples: Examples = {
  texts: words,
  pairs: null,
  labels: { kind: "class", ids: Int32Array.of(0, 1, 0, 1, 1, 0, 1), names: null },
};

const numbers = (feed: Feed | undefined): number[] => Array.from(feed!.data as ArrayLike<number | bigint>, Number);

async function epoch(source: BatchSource): Promise<Batch[]> {
  const batches: Batch[] = [];
  for (let batch = await source.next(); batch !== null; batch = await source.next()) batches.push(batch);
  return batches;
}

describe("TextBatches", () => {
  let tokenizer: Tokenizer;
  let pairTokenizer: Tokenizer;
  before(async () => {
    const open = (name: string) => Tokenizer.open(join(root, "test", "fixtures", "tokenizers", name, "tokenizer.json"));
    tokenizer = await open("bpe");
    pairTokenizer = await open("wordpiece");
  });
  const make = (options: Partial<TextBatchOptions> = {}, ins: Record<string, InputSpec> = inputs, data = examples) =>
    new TextBatches(data, tokenizer, ins, targets, { batchSize: 3, ...options });

  it("pads to the longest text of the batch and masks the padding", async () => {
    const [first] = await epoch(make());
    const encoded = words.slice(0, 3).map((text) => tokenizer.encode(text).ids);
    const length = Math.max(...encoded.map((ids) => ids.length));
    const { input_ids, attention_mask, labels } = first!.feeds;
    expect(first!.size).to.equal(3);
    expect(Object.keys(first!.feeds)).to.deep.equal(["input_ids", "attention_mask", "labels"]);
    expect(input_ids).to.include({ dtype: "int64" });
    expect(input_ids!.data).to.be.instanceOf(BigInt64Array);
    expect(input_ids!.dims).to.deep.equal([3, length]);
    const pad = (ids: number[], value: number): number[] => [...ids, ...Array<number>(length - ids.length).fill(value)];
    expect(numbers(input_ids)).to.deep.equal(encoded.flatMap((ids) => pad(ids, 1)));
    expect(numbers(attention_mask)).to.deep.equal(
      encoded.flatMap((ids) =>
        pad(
          ids.map(() => 1),
          0,
        ),
      ),
    );
    expect(labels!.dims).to.deep.equal([3]);
    expect(numbers(labels)).to.deep.equal([0, 1, 0]);
  });

  it("gives every example once, the last batch smaller or dropped", async () => {
    const all = make();
    expect(all.batchesPerEpoch).to.equal(3);
    expect((await epoch(all)).map(({ size }) => size)).to.deep.equal([3, 3, 1]);
    expect((await epoch(all)).map(({ size }) => size)).to.deep.equal([3, 3, 1]);
    const full = make({ dropLast: true });
    expect(full.batchesPerEpoch).to.equal(2);
    expect((await epoch(full)).map(({ size }) => size)).to.deep.equal([3, 3]);
  });

  it("feeds segments, pairs and the model's own dtypes and names", async () => {
    const ins: Record<string, InputSpec> = {
      ids: { dtype: "int32", shape: ["n", "s"], source: "input_ids" },
      token_type_ids: free,
      attention_mask: { dtype: "float32", shape: ["n", "s"] },
    };
    const data = { ...examples, pairs: words.map(() => "is it") };
    const source = new TextBatches(data, pairTokenizer, ins, {}, { batchSize: 2 });
    const { feeds } = (await source.next())!;
    const [a, b] = words.slice(0, 2).map((text) => pairTokenizer.encode(text, "is it"));
    expect(feeds["ids"]!.data).to.deep.equal(Int32Array.from([...a!.ids, ...b!.ids]));
    expect(numbers(feeds["token_type_ids"])).to.deep.equal([...a!.types, ...b!.types]);
    expect(a!.types).to.include(1);
    expect(feeds["attention_mask"]!.data).to.be.instanceOf(Float32Array);
    expect(feeds).not.to.have.property("labels");
  });

  it("pads to multiples, to a given length and to the model's fixed length", async () => {
    const lengths = async (source: TextBatches) =>
      (await epoch(source)).map(({ feeds }) => feeds["input_ids"]!.dims[1]);
    const longest = (await lengths(make())) as number[];
    expect(await lengths(make({ multipleOf: 8 }))).to.deep.equal(longest.map((n) => Math.ceil(n / 8) * 8));
    expect(await lengths(make({ length: 24 }))).to.deep.equal([24, 24, 24]);
    const fixed = { input_ids: { dtype: "int64", shape: ["batch", 16] } as const };
    expect(fixedSequenceLength(fixed)).to.equal(16);
    expect(fixedSequenceLength(inputs)).to.equal(null);
    expect(await lengths(make({}, fixed))).to.deep.equal([16, 16, 16]);
  });

  it("feeds numbers as targets, one or several an example", async () => {
    const labels = { kind: "float", values: Float32Array.of(1, 2, 3, 4, 5, 6), width: 2 } as const;
    const data = { texts: ["a", "b", "c"], pairs: null, labels };
    const spec: Record<string, InputSpec> = { labels: { dtype: "float32", shape: ["batch", 2] } };
    const source = new TextBatches(data, tokenizer, inputs, spec, { batchSize: 2 });
    const [first, second] = await epoch(source);
    expect(first!.feeds["labels"]).to.deep.equal({ dtype: "float32", dims: [2, 2], data: Float32Array.of(1, 2, 3, 4) });
    expect(second!.feeds["labels"]).to.deep.include({ dims: [1, 2], data: Float32Array.of(5, 6) });
  });

  it("batches texts of like length in tokens where asked to", async () => {
    const spread = (batches: Batch[]) => batches.map(({ feeds }) => feeds["input_ids"]!.dims[1]!);
    const texts = Array.from({ length: 24 }, (_, i) => "word ".repeat(1 + ((i * 5) % 24)));
    const data = { texts, pairs: null, labels: { kind: "class", ids: new Int32Array(24), names: null } } as const;
    const tokens = (batches: Batch[]) => spread(batches).reduce((sum, length) => sum + length);
    const [plain, grouped] = await Promise.all(
      [0, 6].map((groupByLength) => epoch(make({ shuffle: true, batchSize: 4, groupByLength }, inputs, data))),
    );
    expect(tokens(grouped!)).to.be.below(0.8 * tokens(plain!));
  });

  it("shuffles by seed, differently in each epoch", async () => {
    const order = async (source: TextBatches) =>
      (await epoch(source)).map(({ feeds }) => numbers(feeds["input_ids"]).join());
    const source = make({ shuffle: true, seed: 1 });
    const first = await order(source);
    expect(await order(source)).not.to.deep.equal(first);
    expect(await order(make({ shuffle: true, seed: 1 }))).to.deep.equal(first);
    expect(await order(make({ shuffle: true, seed: 2 }))).not.to.deep.equal(first);
    expect(await order(make())).not.to.deep.equal(first);
  });

  it("resumes in the middle of an epoch, and at its end, with the batches that would have followed", async () => {
    for (const taken of [0, 1, 4, 5]) {
      const source = make({ shuffle: true, seed: 5, batchSize: 2 });
      for (let i = 0; i < taken; i++) await source.next();
      const saved = JSON.parse(JSON.stringify(source.state())) as JsonValue;
      const rest = [await epoch(source), await epoch(source)];
      const other = make({ shuffle: true, seed: 99, batchSize: 2 });
      await other.next();
      other.restore(saved);
      expect([await epoch(other), await epoch(other)], `after ${taken}`).to.deep.equal(rest);
    }
  });

  it("refuses a state of other data, or a damaged one", async () => {
    const state = make().state();
    const fewer = { ...examples, texts: words.slice(0, 6) };
    await rejects(() => make({}, inputs, fewer).restore(state), "data set of 7 examples; this one has 6");
    await rejects(() => make().restore([1]), "damaged");
    await rejects(() => make().restore({ size: 7, seed: 1, epoch: 0, position: 8 }), "damaged");
  });

  it("says what does not fit", async () => {
    const fixed = (shape: (number | string)[]) => ({ input_ids: { dtype: "int64", shape } as InputSpec });
    await rejects(() => make({}, fixed([4, "s"])), 'batch size 3 does not fit input "input_ids"', "--batch-size 4");
    await rejects(() => make({}, fixed([3, "s"])), "last batch holds 1 of 7");
    await rejects(() => make({}, fixed(["n", 4])).next(), "does not fit the sequence length of 4", "--max-length 4");
    await rejects(() => make({ length: 5 }, fixed(["n", 4])), "fixes its sequences at 4");
    await rejects(() => make({}, { ...inputs, pixel_values: free }), '"pixel_values"');
    await rejects(() => make({}, { attention_mask: free }), 'no input "input_ids"');
    await rejects(() => make({}, { input_ids: { dtype: "float16", shape: ["n", "s"] } }).next(), "float16");
    await rejects(() => make({ batchSize: 0 }), "batch size 0");
    await rejects(() => make({ batchSize: 8, dropLast: true }), "7 examples do not fill one batch of 8");
    await rejects(() => make({}, inputs, { ...examples, labels: null }), "--label");
    const floats = { kind: "float", values: new Float32Array(7), width: 1 } as const;
    await rejects(() => make({}, inputs, { ...examples, labels: floats }), "read as numbers");
    const wide: Record<string, InputSpec> = { labels: { dtype: "float32", shape: ["n", 3] } };
    const data = { ...examples, labels: floats };
    await rejects(() => new TextBatches(data, tokenizer, inputs, wide, { batchSize: 3 }), "1 label column");
  });
});

describe("Sampler", () => {
  it("covers every example in every epoch", () => {
    const sampler = new Sampler(10, { batchSize: 4, shuffle: true, seed: 3 });
    for (let e = 0; e < 3; e++) {
      const seen: number[] = [];
      for (let rows = sampler.next(); rows !== null; rows = sampler.next()) seen.push(...rows);
      expect(seen.sort((a, b) => a - b)).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
  });

  describe("grouped by length", () => {
    const size = 203;
    const lengthOf = (i: number): number => 1 + ((i * 37) % 101);
    const make = (more: Partial<SamplerOptions> = {}) =>
      new Sampler(size, { batchSize: 8, shuffle: true, seed: 3, groupByLength: 10, ...more }, lengthOf);
    const epochOf = (sampler: Sampler): number[][] => {
      const batches: number[][] = [];
      for (let rows = sampler.next(); rows !== null; rows = sampler.next()) batches.push([...rows]);
      return batches;
    };
    const padding = (batches: number[][]): number =>
      batches.reduce((sum, rows) => sum + rows.length * Math.max(...rows.map(lengthOf)), 0) -
      batches.flat().reduce((sum, i) => sum + lengthOf(i), 0);

    it("covers every example, with far less padding, the longest first, in another order each epoch", () => {
      const sampler = make();
      const epochs = [epochOf(sampler), epochOf(sampler)];
      for (const batches of epochs) {
        expect(batches.flat().sort((a, b) => a - b)).to.deep.equal(Array.from({ length: size }, (_, i) => i));
        expect(batches.map((rows) => rows.length)).to.deep.equal([...Array<number>(25).fill(8), 3]);
        expect(Math.max(...batches[0]!.map(lengthOf))).to.equal(Math.max(...batches.slice(0, -1).flat().map(lengthOf)));
        expect(padding(batches)).to.be.below(0.3 * padding(epochOf(make({ groupByLength: 0 }))));
      }
      expect(epochs[0]).to.not.deep.equal(epochs[1]);
      expect(epochOf(make())).to.deep.equal(epochs[0]);
      // Batches of all lengths are mixed: their order is not that of their lengths.
      const longest = epochs[0]!.map((rows) => lengthOf(rows[0]!));
      expect(longest).to.not.deep.equal([...longest].sort((a, b) => b - a));
      expect(epochOf(make({ dropLast: true }))).to.deep.equal(epochs[0]!.slice(0, -1));
    });

    it("goes on from any position with the batches that would have followed, and refuses another grouping", async () => {
      for (const taken of [0, 1, 13, 26, 27]) {
        const sampler = make();
        for (let i = 0; i < taken; i++) sampler.next();
        const other = make({ seed: 8 });
        other.restore(sampler.state());
        expect([epochOf(other), epochOf(other)]).to.deep.equal([epochOf(sampler), epochOf(sampler)]);
      }
      const state = make().state();
      await rejects(() => make({ groupByLength: 4 }).restore(state), "grouped by length within 10, these are grouped");
      await rejects(() => make({ batchSize: 4 }).restore(state), "hold 8 examples, these 4; use the same");
      await rejects(() => make({ groupByLength: 0.5 }), "grouping by length within 0.5 batches");
    });
  });
});
