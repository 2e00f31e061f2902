import { expect } from "chai";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { curvesOf } from "../../src/report/curves.js";
import { htmlReport, summaryRows } from "../../src/report/html.js";
import { curvatureByLayer } from "../../src/report/layers.js";
import { eventImages } from "../../src/report/pictures.js";
import { readRunLog } from "../../src/report/run_log.js";
import { crc32c, eventFile } from "../../src/report/tensorboard.js";
import { rejects } from "../support/rejects.js";
import { temporaryFolder } from "../support/temp.js";

const line = (event: string, step: number, rest: object): string =>
  JSON.stringify({ event, step, epoch: 0, seconds: step / 2, ...rest });

const run = [
  line("start", 0, {
    ...{ epochs: 1, seed: 7, elements: { "encoder.0.weight": 3, "encoder.0.bias": 1, "head.weight": 2 } },
    about: { command: "curvsam train out <data>", environment: { node: "20.19" }, classes: ["ham", "spam & co"] },
  }),
  line("step", 1, { variant: "step", wasSkipped: false, loss: 1, "hyper/lr": 0.1, "hyper/rho": 0.05 }),
  line("step", 1, { variant: "step", wasSkipped: true, loss: null }),
  line("step", 2, { variant: "step", wasSkipped: false, loss: 0.5, "hyper/lr": 0.05, "hyper/rho": 0.05 }),
  line("curvature", 2, { mean: { "encoder.0.weight": 4, "encoder.0.bias": 8, "head.weight": 0.5 } }),
  line("sharpness", 2, { largest_eigenvalue: 3, "rise/0.05": 0.1, "ellipsoid_rise/0.05": 0.2 }),
  line("evaluation", 2, { loss: 0.6, examples: 9, accuracy: 0.75, confusion: [[5, 0], [2, 2]] }), // prettier-ignore
  line("curvature", 3, { mean: { "encoder.0.weight": 2, "encoder.0.bias": 6, "head.weight": null } }),
  line("sharpness", 3, { largest_eigenvalue: 2, "rise/0.05": 0.1, "ellipsoid_rise/0.05": 0.1 }),
  line("evaluation", 3, { loss: 0.4, examples: 9, accuracy: 1, confusion: [[5, 0], [1, 3]] }), // prettier-ignore
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
    expect(log.start).to.have.keys("event", "step", "epoch", "seconds", "epochs", "seed");
    expect(log.about).to.deep.include({ command: "curvsam train out <data>", environment: { node: "20.19" } });
    expect(log.confusion).to.deep.equal({ step: 3, counts: [[5, 0], [1, 3]] }); // prettier-ignore
    expect(log.sharpness.get("largest_eigenvalue")).to.deep.equal([[2, 3], [3, 2]]); // prettier-ignore
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
    expect(one.map(({ title }) => title)).to.deep.equal(["Loss", "Metrics", "Hyper-parameters", "Sharpness"]);
    expect(one[2]!.panels.map(({ y }) => y.title)).to.deep.equal(["Learning rate", "Radius ρ"]);
    expect(one[3]!.panels.map(({ series }) => series.map(({ name }) => name))).to.deep.equal([
      ["Largest eigenvalue"],
      ["along the gradient", "in the ellipsoid"],
    ]);
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
    // Four groups of curves, the confusion matrix and the curvature, each for two widths and two themes.
    expect([...html.matchAll(/(src|srcset)="data:/g)]).to.have.length(6 * 4);
    expect(html).to.include("<pre>curvsam train out &lt;data&gt;</pre>").and.to.include("<td>20.19</td>");
    const pictures = [...html.matchAll(/<img [^>]*src="data:image\/svg\+xml;base64,([^"]+)"/g)].map((match) =>
      Buffer.from(match[1]!, "base64").toString(),
    );
    expect(pictures[4]).to.include("Confusion matrix").and.to.include("spam &amp; co");
    expect(pictures[5]).to.include("encoder.0.weight");
    expect(summaryRows([{ name: "a", log }])).to.deep.include.members([
      ["accuracy, last evaluation", "1"],
      ["radius ρ", "0.05"],
      ["rise of the loss in the ellipsoid at ρ = 0.05, last", "0.1"],
    ]);
  });

  it("takes tensors of one layer together by their elements where there are too many", () => {
    const { curvature, elements } = readRunLog(file("layers", run));
    const tracks = curvature.get("curvature")!;
    const all = curvatureByLayer(tracks, elements);
    expect(all.layers).to.deep.equal(["encoder.0.weight", "encoder.0.bias", "head.weight"]);
    expect(all.steps).to.deep.equal([2, 3]);
    const few = curvatureByLayer(tracks, elements, 2);
    expect(few.layers).to.deep.equal(["encoder.0", "head.weight"]);
    // (3·4 + 8)/4 and (3·2 + 6)/4; the head had no finite mean at step 3.
    expect(few.values[0]).to.deep.equal([5, 3]);
    expect(few.values[1]).to.deep.equal([0.5, NaN]);
  });
});

describe("TensorBoard's event file", () => {
  const folder = temporaryFolder();

  it("has Castagnoli's checksum", () => {
    expect(crc32c(Buffer.from("123456789"))).to.equal(0xe3069283);
  });

  it("holds records whose lengths and checksums are right, a scalar or a picture each", async () => {
    const log = readRunLog(folder.write("log.jsonl", run.join("\n")));
    const bytes = eventFile(log, 1000, await eventImages(log));
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
    // The version; loss, lr and rho of two steps; three numbers of two evaluations and of sharpness; the curvature; two pictures.
    expect(records).to.have.length(1 + 6 + 6 + 6 + 5 + 2);
    // A double behind its tag: the time at which step 1 was taken.
    expect(records[1]!.readDoubleLE(1)).to.equal(1000.5);
    const picture = records.at(-2)!.toString("latin1");
    expect(picture).to.include("eval/confusion_matrix").and.to.include("\x89PNG");
    expect(records[0]!.toString("latin1")).to.include("brain.Event:2");
    expect(records[1]!.toString("latin1")).to.include("train/loss");
    expect(records[1]!.readFloatLE(records[1]!.length - 4)).to.equal(1);
  });
});
