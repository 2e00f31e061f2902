import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readExamples, type ExampleOptions } from "../../src/data/examples.js";
import { rejects } from "../support/rejects.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

/** What scripts/parquet_fixtures.py wrote. */
const count = 40;
const texts = Array.from(
  { length: count },
  (_, i) => `sentence ${i}, “quoted” and naïve ✓ ${"very ".repeat(i % 7)}long`,
);
const ids = Int32Array.from({ length: count }, (_, i) => (i * i + 1) % 3);
const scores = Float32Array.from({ length: count }, (_, i) => i / 8 - 2);

describe("Parquet", () => {
  const folder = temporaryFolder();
  const fixture = (name: string): string => join(root, "test", "fixtures", "parquet", `${name}.parquet`);
  const read = (name: string, options: Partial<ExampleOptions> = {}) =>
    readExamples(fixture(name), { text: "sentence", label: "label", ...options });

  for (const name of ["none", "snappy", "gzip", "brotli", "zstd", "lz4", "v2", "datasets"]) {
    it(`reads texts and integer labels: ${name}`, async () => {
      const { texts: got, labels } = await read(name);
      expect(got).to.deep.equal(texts);
      expect(labels).to.deep.equal({ kind: "class", ids, names: null });
    });
  }

  it("reads numbers, names behind integers, and flags", async () => {
    for (const label of ["score", "double"]) {
      const { labels } = await read("names", { label, labels: { kind: "float" } });
      expect(labels).to.deep.equal({ kind: "float", values: scores, width: 1 });
    }
    const names = ["no", "maybe", "yes"];
    const answers = await read("names", { label: "answer", labels: { kind: "class", names } });
    expect(answers.labels).to.deep.include({ ids, names });
    const flags = await read("names", { label: "flag" });
    expect(flags.labels).to.deep.include({ names: ["false", "true"], ids: ids.map((id) => Number(id === 1)) });
  });

  it("knows by its contents' name alone what is in a file of another name", async () => {
    const path = folder.write("data.bin", readFileSync(fixture("snappy")));
    await rejects(() => readExamples(path, { text: "sentence" }), "rename it to .tsv, .csv, .jsonl or .parquet");
    expect((await readExamples(path, { text: "sentence", format: "parquet" })).texts).to.deep.equal(texts);
  });

  it("refuses a head with another number of classes than a ClassLabel column has", () =>
    rejects(
      () => read("datasets", { labels: { kind: "class", count: 2 } }),
      'column "label" has 3 classes ("negative", "neutral", "positive"), but the model has 2; export it with 3 labels',
    ));

  it("names the row of a label that the model's head does not have", () =>
    rejects(
      () => read("snappy", { labels: { kind: "class", count: 2 } }),
      /snappy\.parquet row 2: label 2 is out of range; the model has classes 0\.\.1; labels run to 2 here: export the/,
    ));

  it("refuses what is cut short, at any place, in one line", async () => {
    const whole = readFileSync(fixture("snappy"));
    for (const length of [0, 3, 11, 12, 100, Math.floor(whole.length / 2), whole.length - 1]) {
      const path = folder.write("cut.parquet", whole.subarray(0, length));
      await rejects(() => readExamples(path, { text: "sentence" }), /cut\.parquet: .*truncated/);
    }
  });

  it("refuses what is damaged inside, in one line", async () => {
    const whole = readFileSync(fixture("snappy"));
    const { length } = whole;
    const footer = length - 8 - whole.readUInt32LE(length - 8);
    const damage = [
      (b: Buffer) => b.fill(0xff, footer, footer + 40),
      (b: Buffer) => b.fill(0xff, 4, 200),
      (b: Buffer) => (b.writeUInt32LE(0xfffffff0, length - 8), b),
      // Bytes are lost from the middle: the footer's offsets point past the data.
      (b: Buffer) => Buffer.concat([b.subarray(0, 300), b.subarray(footer)]),
    ];
    for (const spoil of damage) {
      const path = folder.write("spoilt.parquet", spoil(Buffer.from(whole)));
      await rejects(() => readExamples(path, { text: "sentence" }), /spoilt\.parquet: the Parquet file is damaged/);
    }
  });

  it("refuses what is no text or number, and names the row", async () => {
    await rejects(
      () => read("bad", { text: "holes" }),
      /bad\.parquet row 7: "holes" is null; expected text or a number/,
    );
    await rejects(() => read("bad", { text: "nested" }), 'row 1: "nested" is a list');
    await rejects(() => read("bad", { text: "when" }), 'row 1: "when" is a time');
    await rejects(() => read("bad", { label: "large" }), /row 1: "large": 1152921504606846976 is beyond/);
    await rejects(() => read("bad", { text: "label" }), 'row 1: "label" is a number; expected text');
  });

  it("refuses a missing column, an empty table, a file that is none, a folder", async () => {
    await rejects(() => read("snappy", { text: "sentense" }), /no column "sentense".*did you mean "sentence"\?/);
    await rejects(() => read("empty"), "empty.parquet: the data set is empty: it has no rows");
    const text = folder.write("text.parquet", "sentence\tlabel\nfree money\t1\n");
    await rejects(() => readExamples(text, { text: "sentence" }), "not a Parquet file: it does not begin with PAR1");
    await rejects(() => readExamples(`${folder.path}/no.parquet`, { text: "t" }), "no.parquet: no such file");
    await rejects(() => readExamples(folder.path, { text: "t", format: "parquet" }), "is a folder; expected a file");
  });
});
