import { expect } from "chai";
import { join } from "node:path";
import { readExamples, type ExampleOptions } from "../../src/data/examples.js";
import { rejects } from "../support/rejects.js";
import { shared } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

describe("readExamples", () => {
  const folder = temporaryFolder();
  const read = (name: string, content: string | Uint8Array, options: Partial<ExampleOptions> = {}) =>
    readExamples(folder.write(name, content), { text: "text", label: "label", ...options });

  it("reads TSV without taking quotes for quoting", async () => {
    const examples = await read("a.tsv", 'label\ttext\r\n1\t"Quite", she said.\r\n0\tan "open quote\r\n');
    expect(examples.texts).to.deep.equal(['"Quite", she said.', 'an "open quote']);
    expect(examples.labels).to.deep.include({ kind: "class", names: null, ids: Int32Array.of(1, 0) });
    expect(examples.pairs).to.equal(null);
  });

  it("reads CSV with quoted commas, quotes and line ends", async () => {
    const examples = await read("a.csv", '\uFEFFtext,other,label\n"a, ""b""\nc",x,spam\nd,y,ham\n', { pair: "other" });
    expect(examples.texts).to.deep.equal(['a, "b"\nc', "d"]);
    expect(examples.pairs).to.deep.equal(["x", "y"]);
    expect(examples.labels).to.deep.equal({ kind: "class", ids: Int32Array.of(1, 0), names: ["ham", "spam"] });
  });

  it("reads JSON lines, and labels that are numbers or booleans", async () => {
    const examples = await read("a.jsonl", '{"text":"é","label":2}\n\n{"label":0,"text":"b","more":[1]}');
    expect(examples.texts).to.deep.equal(["é", "b"]);
    expect(examples.labels).to.deep.include({ ids: Int32Array.of(2, 0) });
    const flags = await read("b.ndjson", '{"text":"a","label":true}\n{"text":"b","label":false}\n');
    expect(flags.labels).to.deep.include({ names: ["false", "true"], ids: Int32Array.of(1, 0) });
  });

  it("reads a file without a header by column number, in the format that is given", async () => {
    const options = { header: false, text: "3", label: "1", format: "tsv" } as const;
    const examples = await read("cola.txt", "gj04\t1\t\tSailors rode.\ngj04\t0\t*\tRode sailors.\n", options);
    expect(examples.texts).to.deep.equal(["Sailors rode.", "Rode sailors."]);
    expect(examples.labels).to.deep.include({ ids: Int32Array.of(1, 0) });
  });

  it("reads numbers, of one column or of several", async () => {
    const one = await read("a.tsv", "text\tlabel\na\t2.5\nb\t-1e1\n", { labels: { kind: "float" } });
    expect(one.labels).to.deep.equal({ kind: "float", values: Float32Array.of(2.5, -10), width: 1 });
    const two = await read("a.csv", "text,x,y\na,1,0\nb,0,1\n", { label: ["x", "y"], labels: { kind: "float" } });
    expect(two.labels).to.deep.equal({ kind: "float", values: Float32Array.of(1, 0, 0, 1), width: 2 });
  });

  it("maps names through a given list and keeps an ignored id", async () => {
    const named = await read("a.tsv", "text\tlabel\na\tyes\nb\tno\n", {
      labels: { kind: "class", names: ["yes", "no"], count: 2 },
    });
    expect(named.labels).to.deep.include({ ids: Int32Array.of(0, 1) });
    const ignored = await read("a.tsv", "text\tlabel\na\t-100\nb\t1\n", {
      labels: { kind: "class", count: 2, ignore: -100 },
    });
    expect(ignored.labels).to.deep.include({ ids: Int32Array.of(-100, 1) });
  });

  it("reads without labels", async () => {
    expect((await readExamples(folder.write("a.tsv", "text\na\n"), { text: "text" })).labels).to.equal(null);
  });

  const bad: [string, string, string | Uint8Array, Partial<ExampleOptions>, (string | RegExp)[]][] = [
    [
      "an unknown column",
      "b.tsv",
      "sentence\tlabel\na\t1\n",
      { text: "sentense" },
      ['no column "sentense"', '"sentence", "label"', 'did you mean "sentence"?'],
    ],
    [
      "a column number that is too high",
      "b.tsv",
      "a\t1\n",
      { header: false, text: "2", label: "1" },
      ['no column "2"', '"0", "1"', "by number from 0"],
    ],
    ["a column name that stands twice", "b.csv", "text,text,label\na,b,1\n", {}, ["two columns", '"text"']],
    ["an empty file", "b.tsv", "", {}, ["empty"]],
    ["a header alone", "b.tsv", "text\tlabel\n", {}, ["empty"]],
    ["an empty JSONL file", "b.jsonl", "\n\n", {}, ["empty"]],
    ["a ragged row", "b.tsv", "text\tlabel\na\t1\nb\t1\tx\n", {}, ["b.tsv line 3: 3 columns, expected 2 as in line 1"]],
    [
      "a ragged row after blank lines",
      "b.csv",
      "\ntext,label\n\na,1\nb\n",
      {},
      ["b.csv line 5: 1 column, expected 2 as in line 2"],
    ],
    ["an open quote", "b.csv", 'text,label\n"a,1\nb,0\n', {}, ["not valid CSV"]],
    [
      "a label that is no integer",
      "b.tsv",
      "text\tlabel\na\t1\nb\tx\n",
      {},
      ['b.tsv line 3: label "x" is not an integer'],
    ],
    ["a fractional label", "b.tsv", "text\tlabel\na\t1\nb\t0.5\n", {}, ['line 3: label "0.5" is not an integer']],
    [
      "a label out of range",
      "b.tsv",
      "text\tlabel\na\t1\nb\t2\n",
      { labels: { kind: "class", count: 2 } },
      ["line 3", "classes 0..1"],
    ],
    ["a negative label", "b.tsv", "text\tlabel\na\t-1\n", {}, ["line 2", "out of range"]],
    [
      "a class that is not in the list",
      "b.tsv",
      "text\tlabel\na\tspan\n",
      { labels: { kind: "class", names: ["ham", "spam"] } },
      ['line 2: label "span"', "ham, spam", 'did you mean "spam"'],
    ],
    [
      "more class names than classes",
      "b.tsv",
      "text\tlabel\na\tx\nb\ty\nc\tz\n",
      { labels: { kind: "class", count: 2 } },
      ["3 class names", "2 classes"],
    ],
    [
      "a target that is no number",
      "b.tsv",
      "text\tlabel\na\t1\nb\t\n",
      { labels: { kind: "float" } },
      ['line 3: label "" is not a number'],
    ],
    ["invalid JSON", "b.jsonl", '{"text":"a","label":1}\n{"text":\n', {}, ["b.jsonl line 2: not valid JSON"]],
    ["a JSON line that is no object", "b.jsonl", "[1]\n", {}, ["line 1", "expected a JSON object"]],
    [
      "a JSON line without the column",
      "b.jsonl",
      '{"text":"a","label":1}\n{"texts":"a","label":1}\n',
      {},
      ["line 2", 'no column "text"', 'did you mean "texts"'],
    ],
    ["a JSON text that is a number", "b.jsonl", '{"text":1,"label":1}\n', {}, ["line 1", "expected text"]],
    ["a JSON label that is null", "b.jsonl", '{"text":"a","label":null}\n', {}, ["line 1", '"label" is null']],
    [
      "bytes that are not UTF-8",
      "b.tsv",
      Buffer.from("text\tlabel\na\t1\ncaf\xe9\t1\n", "latin1"),
      {},
      ["b.tsv line 3: not UTF-8"],
    ],
    ["an unknown format", "b.txt", "text\n", {}, ["--format"]],
  ];
  for (const [what, name, content, options, patterns] of bad) {
    it(`says what is wrong with ${what}`, () => rejects(() => read(name, content, options), ...patterns));
  }

  it("says that a file is missing, or a folder", async () => {
    await rejects(() => readExamples(join(folder.path, "none.tsv"), { text: "a" }), "none.tsv: no such file");
    await rejects(() => readExamples(folder.path, { text: "a", format: "tsv" }), "is a folder");
  });

  const glue: [string, number, number[] | string[], ExampleOptions][] = [
    ["CoLA/dev.tsv", 1043, [324, 719], { header: false, text: "3", label: "1" }],
    ["SST-2/dev.tsv", 872, [428, 444], { text: "sentence", label: "label" }],
    ["MRPC/dev.tsv", 408, [129, 279], { text: "#1 String", pair: "#2 String", label: "Quality" }],
    ["RTE/dev.tsv", 277, [146, 131], { text: "sentence1", pair: "sentence2", label: "label" }],
    ["QNLI/dev.tsv", 5463, [2702, 2761], { text: "question", pair: "sentence", label: "label" }],
  ];
  for (const [file, rows, counts, options] of glue) {
    it(`reads ${file} with the official counts`, async function () {
      const path = shared(`glue/${file}`);
      if (path === null) return this.skip();
      const { texts, labels } = await readExamples(path, options);
      expect(texts).to.have.length(rows);
      const ids = labels?.kind === "class" ? labels.ids : [];
      expect([0, 1].map((id) => ids.filter((x) => x === id).length)).to.deep.equal(counts);
    });
  }
});
