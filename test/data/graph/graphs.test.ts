import { expect } from "chai";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Batch, InputSpec } from "../../../src/data/batch.js";
import { GraphBatches } from "../../../src/data/graph/batches.js";
import type { GraphSet } from "../../../src/data/graph/graphs.js";
import { readOgb } from "../../../src/data/graph/ogb.js";
import { readPlanetoid } from "../../../src/data/graph/planetoid.js";
import { must } from "../../../src/util/assert.js";
import { refusal } from "../../support/refusal.js";
import { root, shared } from "../../support/root.js";
import { temporaryFolder } from "../../support/temp.js";

const fixtures = join(root, "test", "fixtures", "graphs");
const expected = JSON.parse(readFileSync(join(fixtures, "batches.json"), "utf8")) as {
  molecules: Record<string, number[]>;
  citations: Record<string, number[]>;
};
const int64 = (...shape: (string | number)[]): InputSpec => ({ dtype: "int64", shape });
const float32 = (...shape: (string | number)[]): InputSpec => ({ dtype: "float32", shape });
const moleculeInputs = {
  ...{ x: int64("nodes", 9), edge_index: int64(2, "edges"), edge_attr: int64("edges", 3) },
  ...{ batch: int64("nodes"), graph_sizes: int64("graphs") },
};
const graphLabels = { labels: float32("graphs", 1) };
const citationInputs = { x: float32("nodes", 12), edge_index: int64(2, "edges") };
const nodeLabels = { labels: int64("nodes") };

const feed = (batch: Batch, name: string): number[] => Array.from(must(batch.feeds[name], name).data, Number);

async function whole(source: GraphBatches): Promise<Batch[]> {
  const batches: Batch[] = [];
  for (let batch = await source.next(); batch; batch = await source.next()) batches.push(batch);
  return batches;
}

describe("data sets of graphs", () => {
  const folder = temporaryFolder();

  it("batch the Open Graph Benchmark's files as numpy does", async () => {
    const set = await readOgb(join(fixtures, "ogb"));
    const source = new GraphBatches(set, moleculeInputs, graphLabels, { split: "valid", batchSize: 5 });
    const [batch, ...others] = await whole(source);
    expect(others).to.have.length(0);
    expect(batch!.size).to.equal(5);
    const { graphs, ...feeds } = expected.molecules;
    expect([...set.splits.valid]).to.deep.equal(graphs);
    for (const [name, values] of Object.entries(feeds)) expect(feed(batch!, name), name).to.deep.equal(values);
    expect(batch!.feeds["x"]!.dims).to.deep.equal([feeds["batch"]!.length, 9]);
    expect(batch!.feeds["labels"]!.dims).to.deep.equal([5, 1]);
  });

  it("take edges as they are where asked", async () => {
    const both = await readOgb(join(fixtures, "ogb"));
    const directed = await readOgb(join(fixtures, "ogb"), { directed: true });
    expect(directed.edges).to.have.length(both.edges.length / 2);
    expect([...directed.edges.slice(0, 2)]).to.deep.equal([...both.edges.slice(0, 2)]);
  });

  it("batch a citation graph as numpy does, labels of other splits left out", async () => {
    const set = await readPlanetoid(join(fixtures, "cora.json"));
    const options = { split: "valid", batchSize: 4, ignoreIndex: -1 } as const;
    const [batch] = await whole(new GraphBatches(set, citationInputs, nodeLabels, options));
    const { x, ...exact } = expected.citations;
    for (const [name, values] of Object.entries(exact)) expect(feed(batch!, name), name).to.deep.equal(values);
    feed(batch!, "x").forEach((value, i) => expect(value).to.be.closeTo(x![i]!, 1e-7));
    expect(batch!.size).to.equal(8);
  });

  it("go on from a saved position, and shuffle by the seed alone", async () => {
    const set = await readOgb(join(fixtures, "ogb"));
    const open = () =>
      new GraphBatches(set, moleculeInputs, graphLabels, { split: "train", batchSize: 4, shuffle: true, seed: 2 });
    const source = open();
    await source.next();
    const state = source.state();
    const rest = await whole(source);
    const other = open();
    other.restore(state);
    expect(await whole(other)).to.deep.equal(rest);
  });

  it("read the shared molecules", async function () {
    const path = shared("ogb/ogbg_molbbbp");
    if (path === null) return this.skip();
    const set = await readOgb(path);
    expect(set.labels.values).to.have.length(2039);
    expect(set.nodeStarts.at(-1)).to.equal(49_068);
    expect(set.edgeStarts.at(-1)).to.equal(2 * 52_921);
    expect(Object.values(set.splits).map(({ length }) => length)).to.deep.equal([1631, 204, 204]);
  });

  describe("refuse", () => {
    const replaced = (name: string, content: string | Uint8Array): string => {
      const path = join(folder.path, `${name.replaceAll("/", "-")}-${content.length}`);
      cpSync(join(fixtures, "ogb"), path, { recursive: true });
      writeFileSync(join(path, `${name}.csv.gz`), typeof content === "string" ? gzipSync(content) : content);
      return path;
    };
    const lines = (name: string): string[] =>
      gunzipSync(readFileSync(join(fixtures, "ogb", `${name}.csv.gz`)))
        .toString()
        .trimEnd()
        .split("\n");
    const changed = (name: string, row: number, text: string): string =>
      replaced(name, lines(name).with(row, text).join("\n"));

    const cases: Record<string, [() => Promise<unknown>, RegExp]> = {
      "an edge to a node that is not there": [
        () => readOgb(changed("raw/edge", 1, "1,99")),
        /edge\.csv\.gz line 2: an edge to node 99, which graph 0 lacks: it has \d, from 0 on/,
      ],
      "an edge with three ends": [
        () => readOgb(changed("raw/edge", 1, "1,2,3")),
        /edge\.csv\.gz line 2: 3 columns, expected 2/,
      ],
      "a node with too few features": [
        () => readOgb(changed("raw/node-feat", 3, "1,2")),
        /node-feat\.csv\.gz line 4: 2 columns, expected 9/,
      ],
      "a feature that is no number": [
        () => readOgb(changed("raw/node-feat", 0, "C,0,0,0,0,0,0,0,0")),
        /node-feat\.csv\.gz line 1: "C" is not a number/,
      ],
      "too few rows": [
        () => readOgb(replaced("raw/graph-label", "1\n0\n")),
        /graph-label\.csv\.gz: 2 rows, expected 24, as there are graphs/,
      ],
      "a split of a graph that is not there": [
        () => readOgb(changed("split/scaffold/test", 0, "24")),
        /test\.csv\.gz line 1: graph 24, there are 24, from 0 on/,
      ],
      "a file that is cut off": [
        () => readOgb(replaced("raw/edge", Buffer.from("no gzip"))),
        /edge\.csv\.gz: it is not a gzip file, or it is cut off/,
      ],
      "a kind of split that is not there": [
        () => readOgb(join(fixtures, "ogb"), { split: "time" }),
        /no split "time"; choose one of scaffold with --split/,
      ],
      "a folder that is not there": [() => readOgb(join(fixtures, "none")), /no such file/],
      "a citation to a node that is not there": [
        () =>
          readPlanetoid(
            citations({
              edges: [
                [0, 1],
                [2, 30],
              ],
            }),
          ),
        /edges\[1\]: an edge to node 30, which graph 0 lacks/,
      ],
      "a class too many": [() => readPlanetoid(citations({ numClasses: 2 })), /labels: 2, expected a number below 2/],
      "a citation graph without labels": [() => readPlanetoid(citations({ labels: undefined })), /labels: /],
    };
    function citations(change: Record<string, unknown>): string {
      const graph = JSON.parse(readFileSync(join(fixtures, "cora.json"), "utf8")) as Record<string, unknown>;
      return folder.write(`${Object.keys(change).join()}.json`, JSON.stringify({ ...graph, ...change }));
    }
    for (const [name, [attempt, message]] of Object.entries(cases)) {
      it(name, async () => expect(await refusal(attempt())).to.match(message));
    }

    it("what does not fit the model", async () => {
      const molecules = await readOgb(join(fixtures, "ogb"));
      const nodes = await readPlanetoid(join(fixtures, "cora.json"));
      const attempt = (set: GraphSet, inputs: Record<string, InputSpec>, targets: Record<string, InputSpec>) => () =>
        new GraphBatches(set, inputs, targets, { split: "train", batchSize: 2 });
      expect(attempt(molecules, { ...moleculeInputs, x: int64("nodes", 7) }, graphLabels)).to.throw(
        /9 features of a node, the model's "x" takes 7/,
      );
      expect(attempt(molecules, { pixels: float32("nodes") }, graphLabels)).to.throw(
        /the model has an input "pixels" that graphs do not fill/,
      );
      expect(attempt(molecules, moleculeInputs, { labels: float32("graphs", 12) })).to.throw(
        /1 labels for each graph, the loss takes "labels" with 12/,
      );
      expect(attempt(nodes, { edge_attr: int64("edges", 3) }, nodeLabels)).to.throw(/edges have no features/);
      expect(attempt(nodes, citationInputs, nodeLabels)).to.throw(/--ignore-index -1/);
      const missing = { ...molecules, labels: { ...molecules.labels, values: new Float64Array(24).fill(NaN) } };
      expect(attempt(missing, moleculeInputs, graphLabels)).to.throw(/has the label NaN; the loss takes "labels"/);
    });
  });
});
