import { createServer, type Server } from "node:http";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { unzipSync } from "fflate";
import { findPart, readPart } from "../../src/tasks/glue/data.js";
import { downloadTask } from "../../src/tasks/glue/download.js";
import { predictionTable, submissionTable, writeSubmission } from "../../src/tasks/glue/files.js";
import { glueMetrics, taskScore } from "../../src/tasks/glue/metrics.js";
import { glueTask, glueTasks, type GlueTask } from "../../src/tasks/glue/tasks.js";
import { rejects } from "../support/rejects.js";
import { root as repository, shared } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

const part = (task: GlueTask, split: "train" | "evaluate" | "predict") =>
  split === "train" ? task.train! : task[split][0]!;

describe("GLUE's tasks", () => {
  it("are the ten, by any spelling, near misses suggested", async () => {
    expect(glueTasks.map(({ name }) => name)).to.have.length(10);
    expect(glueTask("SST-2").name).to.equal("sst2");
    await rejects(() => glueTask("colla"), 'GLUE has no task "colla"', 'did you mean "cola"');
  });

  it("score as run_glue.py does: several metrics have a combined score", () => {
    const logits = [2, 1, 0, 3, 1, 2, 5, 0];
    const labels = [0, 1, 0, 0];
    expect(glueMetrics(glueTask("mrpc"), logits, labels)).to.deep.equal({
      accuracy: 0.75,
      f1: 2 / 3,
      combined_score: (0.75 + 2 / 3) / 2,
    });
    expect(glueMetrics(glueTask("stsb"), [1, 2, 4], [1, 2, 3])).to.have.keys("pearson", "spearmanr", "combined_score");
    expect(taskScore([{ accuracy: 0.5 }, { accuracy: 0.7 }], glueTask("mnli"))).to.be.closeTo(0.6, 1e-12);
  });
});

describe("GLUE's data", () => {
  const folder = temporaryFolder();
  const root = folder.path;
  const put = (name: string, lines: readonly string[]): void => {
    const path = join(root, name);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, `${lines.join("\n")}\n`);
  };
  put("CoLA/dev.tsv", ["gj04\t1\t\tHe is here.", "gj04\t0\t*\tHere he are."]);
  put("CoLA/test.tsv", ["index\tsentence", "0\tWho is it?"]);
  put("RTE/train.tsv", ["index\tsentence1\tsentence2\tlabel", "0\tA.\tB.\tnot_entailment", "1\tA.\tA.\tentailment"]);
  put("STS-B/dev.tsv", ["index\tsentence1\tsentence2\tscore", "0\tA.\tB.\t3.25"]);
  put("MRPC/dev.tsv", ["Quality\t#1 ID\t#2 ID\t#1 String", "1\t1\t2\tA."]);

  const read = (name: string, split: "train" | "evaluate" | "predict", most?: number) => {
    const task = glueTask(name);
    return readPart(root, task, part(task, split), { labelled: split !== "predict", most });
  };

  it("is read from files with and without a header", async () => {
    expect((await read("cola", "evaluate")).texts).to.deep.equal(["He is here.", "Here he are."]);
    expect(await read("cola", "predict")).to.deep.include({ texts: ["Who is it?"], labels: null });
  });

  it("numbers named classes as the hub does", async () => {
    const { labels, pairs } = await read("rte", "train");
    expect(labels).to.deep.include({ ids: Int32Array.of(1, 0) });
    expect(pairs).to.deep.equal(["B.", "A."]);
  });

  it("is cut to the first examples", async () => {
    const { texts, labels } = await read("rte", "train", 1);
    expect(texts).to.have.length(1);
    expect(labels).to.deep.include({ ids: Int32Array.of(1) });
    expect((await read("stsb", "evaluate", 5)).labels).to.deep.include({ values: Float32Array.of(3.25) });
  });

  it("says which file or column is missing", async () => {
    await rejects(() => read("qnli", "evaluate"), "QNLI/dev.tsv: no such file", "question, sentence, label");
    await rejects(() => read("mrpc", "evaluate"), 'no column "#2 String"');
    await rejects(
      () => findPart(join(root, "nowhere"), glueTask("rte"), part(glueTask("rte"), "train"), true),
      "--data_dir",
    );
  });

  it("is read of all ten tasks, from the official folders' columns and from the hub's", async () => {
    const official: Record<string, [split: "train" | "evaluate" | "predict", file: string, header: string]> = {
      cola: ["evaluate", "CoLA/dev.tsv", ""],
      sst2: ["evaluate", "SST-2/dev.tsv", "sentence*\tlabel"],
      mrpc: ["evaluate", "MRPC/dev.tsv", "Quality\t#1 ID\t#2 ID\t#1 String*\t#2 String*"],
      stsb: [
        "evaluate",
        "STS-B/dev.tsv",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1*\tsentence2*\tscore",
      ],
      qqp: ["evaluate", "QQP/dev.tsv", "id\tqid1\tqid2\tquestion1*\tquestion2*\tis_duplicate"],
      mnli: [
        "evaluate",
        "MNLI/dev_matched.tsv",
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1*\tsentence2*\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label",
      ],
      qnli: ["evaluate", "QNLI/dev.tsv", "index\tquestion*\tsentence*\tlabel"],
      rte: ["evaluate", "RTE/dev.tsv", "index\tsentence1*\tsentence2*\tlabel"],
      wnli: ["evaluate", "WNLI/dev.tsv", "index\tsentence1*\tsentence2*\tlabel"],
      ax: ["predict", "AX/diagnostic.tsv", "index\tsentence1*\tsentence2*"],
    };
    expect(Object.keys(official)).to.have.members(glueTasks.map(({ name }) => name));
    for (const [name, [split, file, header]] of Object.entries(official)) {
      const task = glueTask(name);
      const label = task.labels ? (task.named ? task.labels[1]! : "1") : "1.25";
      const texts = header.split("\t").filter((column) => column.endsWith("*"));
      const cells = header
        .split("\t")
        .map((column) =>
          column.endsWith("*") ? `${column} "a` : /label$|Quality|duplicate|score/.test(column) ? label : "x",
        );
      if (header === "") put(`ten/${file}`, [`x\t1\t\tsentence* "a`]);
      else put(`ten/${file}`, [header.replaceAll("*", ""), cells.join("\t")]);
      const got = await readPart(join(root, "ten"), task, part(task, split), { labelled: split === "evaluate" });
      expect(got.texts, name).to.deep.equal([`${texts[0] ?? "sentence*"} "a`]);
      expect(got.pairs, name).to.deep.equal(texts[1] === undefined ? null : [`${texts[1]} "a`]);
      if (split === "evaluate")
        expect(got.labels, name).to.deep.include(
          task.labels ? { ids: Int32Array.of(1) } : { values: Float32Array.of(1.25) },
        );

      const { text: hubText, pair: hubPair } = task.hub;
      const hubPart = task.evaluate.at(-1) ?? task.predict[0]!;
      const labelled = task.evaluate.length > 0;
      const hub = await readPart(join(repository, "test", "fixtures", "parquet", "glue"), task, hubPart, { labelled });
      expect(hub.texts, name).to.deep.equal([`${hubText} 0`, `${hubText} 1`]);
      expect(hub.pairs, name).to.deep.equal(hubPair === undefined ? null : [`${hubPair} 0`, `${hubPair} 1`]);
      if (labelled)
        expect(hub.labels, name).to.deep.include(
          task.labels ? { ids: Int32Array.of(1, 0) } : { values: Float32Array.of(1.25, 0) },
        );
    }
  });

  it("is what the official files hold", async function () {
    const glue = shared("glue");
    if (!glue) {
      console.log("      skipped: ../shared/data/glue is absent");
      return this.skip();
    }
    const sizes: Record<string, number> = {
      cola: 1043,
      sst2: 872,
      mrpc: 408,
      stsb: 1500,
      qnli: 5463,
      rte: 277,
      wnli: 71,
    };
    for (const [name, size] of Object.entries(sizes)) {
      const task = glueTask(name);
      const { texts, labels } = await readPart(glue, task, part(task, "evaluate"), { labelled: true });
      expect(texts, name).to.have.length(size);
      expect(labels, name).not.to.equal(null);
    }
  });
});

describe("GLUE's files", () => {
  const folder = temporaryFolder();

  it("hold classes by name, scores within 0 and 5, and zip the same bytes each time", () => {
    expect(predictionTable(glueTask("qnli"), [1, 0])).to.equal("index\tprediction\n0\tnot_entailment\n1\tentailment\n");
    expect(submissionTable(glueTask("stsb"), [5.4, -1, 2.5])).to.equal(
      "index\tprediction\n0\t5.000\n1\t0.000\n2\t2.500\n",
    );
    const path = join(folder.path, "submission.zip");
    const tables = new Map([["CoLA.tsv", "index\tprediction\n0\t1\n"]]);
    writeSubmission(path, tables);
    const first = readFileSync(path);
    writeSubmission(path, tables);
    expect(readFileSync(path).equals(first)).to.equal(true);
    const files = unzipSync(first);
    expect(Object.keys(files)).to.deep.equal(["CoLA.tsv"]);
    expect(Buffer.from(files["CoLA.tsv"]!).toString()).to.equal(tables.get("CoLA.tsv"));
  });
});

describe("GLUE's download", () => {
  const folder = temporaryFolder();
  const bytes = readFileSync(
    join(repository, "test", "fixtures", "parquet", "glue", "rte", "validation-00000-of-00001.parquet"),
  );
  const seen: string[] = [];
  let server: Server;
  let hub = "";

  before((done) => {
    server = createServer((request, response) => {
      const path = decodeURIComponent(request.url ?? "");
      seen.push(`${request.method} ${path}`);
      if (!path.includes("/rte/validation-00000-of-00001.parquet")) return response.writeHead(404).end();
      const headers = { etag: '"e"', "accept-ranges": "bytes" };
      const range = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "");
      const [from, to] = range ? [Number(range[1]), Number(range[2] || bytes.length - 1)] : [0, bytes.length - 1];
      const body = bytes.subarray(from, to + 1);
      response.writeHead(range ? 206 : 200, {
        ...headers,
        "content-length": body.length,
        ...(range && { "content-range": `bytes ${from}-${from + body.length - 1}/${bytes.length}` }),
      });
      response.end(request.method === "HEAD" ? undefined : body);
    }).listen(0, "127.0.0.1", () => {
      hub = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      done();
    });
  });
  after(() => server.close());

  it("puts the hub's files where they are read, and does not fetch them again", async () => {
    const task = glueTask("rte");
    await downloadTask(task, task.evaluate, folder.path, { hub });
    const file = join(folder.path, "rte", "validation-00000-of-00001.parquet");
    expect(readFileSync(file).equals(bytes)).to.equal(true);
    expect(findPart(folder.path, task, part(task, "evaluate"), true)).to.deep.include({ path: file, parquet: true });
    const { texts } = await readPart(folder.path, task, part(task, "evaluate"), { labelled: true });
    expect(texts).to.deep.equal(["sentence1 0", "sentence1 1"]);
    const before = seen.length;
    await downloadTask(task, task.evaluate, folder.path, { hub });
    expect(seen).to.have.length(before);
  });

  it("says what the hub does not have, and where it cannot be reached", async () => {
    const task = glueTask("wnli");
    await rejects(() => downloadTask(task, task.evaluate, folder.path, { hub }), "wnli/validation", "--data_dir");
    await rejects(
      () => downloadTask(task, task.evaluate, folder.path, { hub: "http://127.0.0.1:9" }),
      "the hub cannot be reached",
    );
  });
});
