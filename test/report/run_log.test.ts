import { expect } from "chai";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { curvesOf } from "../../src/report/curves.js";
import { htmlReport, summaryRows } from "../../src/report/html.js";
import { readRunLog } from "../../src/report/run_log.js";
import { crc32c, eventFile } from "../../src/report/tensorboard.js";
import { rejects } from "../support/rejects.js";
import { temporaryFolder } from "../support/temp.js";

const line = (event: string, step: number, rest: object): string =>
  JSON.stringify({ event, step, epoch: 0, seconds: step / 2, ...rest });

const run = [
  line("start", 0, { epochs: 1, seed: 7 }),
  line("step", 1, { variant: "step", wasSkipped: false, loss: 1, "hyper/lr": 0.1, "hyper/rho": 0.05 }),
  line("step", 1, { variant: "step", wasSkipped: true, loss: null }),
  line("step", 2, { variant: "step", wasSkipped: false, loss: 0.5, "hyper/lr": 0.05, "hyper/rho": 0.05 }),
  line("evaluation", 2, { loss: 0.6, examples: 9, accuracy: 0.75 }),
  line("evaluation", 3, { loss: 0.4, examples: 9, accuracy: 1 }),
  line("end", 3, { interrupted: false }),
];

describe("a run's log", () => {
  const folder = temporaryFolder();
  const file = (name: string, lines: readonly string[]): string => {
    mkdirSync(join(folder.path, name, "run"), { recursive: true });
    writeFileSync(join(folder.path, name, "run", "log.jsonl"), lines.join("\n"));
    return join(folder.path, name);
  };

  it("gives the tracks of steps that were taken, and of evaluations", () => {
    const log = readRunLog(file("whole", run));
    expect(log.steps.get("loss")).to.deep.equal([
      [1, 1],
      [2, 0.5],
    ]);
    expect(log.evaluations.get("accuracy")).to.deep.equal([
      [2, 0.75],
      [3, 1],
    ]);
    expect(log).to.include({ lastStep: 3, seconds: 1.5, skipped: 1, ended: "end" });
  });

  it("passes over a last line that was cut off, and refuses what is no log", async () => {
    const cut = readRunLog(file("cut", [...run.slice(0, 2), run[3]!.slice(0, 30)]));
    expect(cut).to.include({ lastStep: 1, ended: null });
    await rejects(() => readRunLog(file("other", ["a", "b", "c"])), "line 1", "not a line of an event log");
    await rejects(() => readRunLog(file("empty", run.slice(0, 1))), "it holds no step");
    await rejects(() => readRunLog(folder.path), "no log.jsonl is there");
  });

  it("is drawn without what never changes; runs lie over each other", () => {
    const log = readRunLog(file("drawn", run));
    const one = curvesOf([{ name: "a", log }]);
    expect(one.map(({ title }) => title)).to.deep.equal(["Loss", "Metrics", "Hyper-parameters"]);
    expect(one[2]!.panels.map(({ y }) => y.title)).to.deep.equal(["Learning rate"]);
    const two = curvesOf([
      { name: "a", log },
      { name: "b", log },
    ]);
    expect(two[0]!.panels[0]!.series.map(({ name }) => name)).to.deep.equal(["a", "b"]);
  });

  it("is a page that needs nothing else, in both themes, its text escaped", async () => {
    const log = readRunLog(file("page", run));
    const html = await htmlReport("a <b> run", [{ name: "<a>", log }], "curvsam");
    expect(html).to.include("a &lt;b&gt; run").and.to.include("&lt;a&gt;").and.not.to.include("<b>");
    expect(html).not.to.match(/(src|href)="(?!data:)/);
    expect([...html.matchAll(/<img class="(light|dark)"/g)]).to.have.length(6);
    expect(summaryRows([{ name: "a", log }])).to.deep.include(["accuracy, last evaluation", "1"]);
  });
});

describe("TensorBoard's event file", () => {
  const folder = temporaryFolder();

  it("has Castagnoli's checksum", () => {
    expect(crc32c(Buffer.from("123456789"))).to.equal(0xe3069283);
  });

  it("holds records whose lengths and checksums are right, a scalar each", () => {
    const bytes = eventFile(readRunLog(folder.write("log.jsonl", run.join("\n"))), 1000);
    const unmask = (word: number): number => {
      const rotated = (word - 0xa282ead8) >>> 0;
      return ((rotated >>> 17) | (rotated << 15)) >>> 0;
    };
    const records: Buffer[] = [];
    for (let at = 0; at < bytes.length;) {
      const length = Number(bytes.readBigUInt64LE(at));
      expect(unmask(bytes.readUInt32LE(at + 8))).to.equal(crc32c(bytes.subarray(at, at + 8)));
      const data = bytes.subarray(at + 12, at + 12 + length);
      expect(unmask(bytes.readUInt32LE(at + 12 + length))).to.equal(crc32c(data));
      records.push(data);
      at += 16 + length;
    }
    // The version, then loss, lr and rho of two steps, then three numbers of two evaluations.
    expect(records).to.have.length(1 + 6 + 6);
    expect(records[0]!.toString("latin1")).to.include("brain.Event:2");
    expect(records[1]!.toString("latin1")).to.include("train/loss");
    expect(records[1]!.readFloatLE(records[1]!.length - 4)).to.equal(1);
  });
});
