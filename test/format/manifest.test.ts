import { expect } from "chai";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseManifest, readManifest, scheduledGraph, writeManifest } from "../../src/format/manifest.js";
import { checkGraphInputs, describeInput } from "../../src/format/ports.js";
import { UserError } from "../../src/util/assert.js";
import { sampleManifest } from "../support/manifest.js";

describe("manifest", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "curvsam-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("reads back what it wrote, and writes equal bytes whatever the order of the keys", () => {
    writeManifest(folder, sampleManifest());
    const first = readFileSync(join(folder, "manifest.json"), "utf8");
    const read = readManifest(folder);
    expect(read).to.deep.equal({ ...sampleManifest(), handed: {}, phases: {}, precision: "float32", refreshes: [] });
    const reversed = Object.fromEntries(Object.entries(read).reverse()) as typeof read;
    writeManifest(folder, reversed);
    expect(readFileSync(join(folder, "manifest.json"), "utf8")).to.equal(first);
  });

  it("ignores keys that it does not know, and fills in those added later", () => {
    const { targets, ...older } = sampleManifest();
    expect(targets).to.not.be.empty;
    expect(parseManifest({ ...older, future: 1 }, "m").targets).to.deep.equal({});
  });

  type Path = readonly (string | number)[];
  /** Sets what `path` leads to; undefined takes it away. */
  function put(at: object, path: Path, value: unknown): void {
    const [key = "", ...rest] = path;
    if (rest.length > 0) put(Reflect.get(at, key) as object, rest, value);
    else if (value === undefined) Reflect.deleteProperty(at, key);
    else Reflect.set(at, key, value);
  }
  const wrong: [string, Path, unknown, RegExp][] = [
    ["another version", ["version"], 2, /version 2 of the format is not known, only 1/],
    ["another format", ["format"], "x", /format is "x".*not a training package/],
    ["a dtype of no one", ["state", "curvature/w", "dtype"], "f31", /state\["curvature\/w"\]\.dtype: /],
    ["an init of two kinds", ["state", "curvature/w", "init"], { fill: 1, tensor: "a" }, /init: expected \{"fill"/],
    ["a schedule without its graph", ["schedule", 0, "graph"], "no", /schedule\[0\]\.graph: "no" is not among/],
    ["a graph outside of the folder", ["graphs", "step"], "../a.onnx", /graphs\.step: expected the name of a file/],
    ["a period of zero", ["schedule", 1, "every"], 0, /schedule\[1\]\.every: /],
    ["a missing field", ["parameters", "w", "group"], undefined, /parameters\.w\.group: /],
    ["a name used twice", ["inputs", "w"], { dtype: "float32", shape: [] }, /parameters\.w: inputs has an input/],
    ["a bernoulli without p", ["random", "z/w", "distribution"], "bernoulli", /random\["z\/w"\]\.p: bernoulli needs/],
    [
      "a nameless hyper",
      ["hyper", "lr"],
      { default: 1, description: "" },
      /hyper\.lr: its name must start with "hyper/,
    ],
  ];
  for (const [what, path, value, message] of wrong) {
    it(`refuses ${what}, naming the field`, () => {
      const m = sampleManifest();
      put(m, path, value);
      expect(() => parseManifest(m, "out/manifest.json")).to.throw(UserError, message);
    });
  }

  it("says that a damaged file is damaged and an absent one absent", () => {
    expect(() => readManifest(folder)).to.throw(UserError, "manifest.json: cannot read: no such file or folder");
    writeFileSync(join(folder, "manifest.json"), '{"format": ');
    expect(() => readManifest(folder)).to.throw(UserError, "it is not JSON");
  });

  it("picks the first scheduled graph whose turn it is", () => {
    const { schedule } = sampleManifest();
    expect([0, 1, 2, 3, 4].map((t) => scheduledGraph(schedule, t))).to.deep.equal([
      "curvature_step",
      "step",
      "step",
      "curvature_step",
      "step",
    ]);
    const late = [{ graph: "a", every: 5, offset: 2 }];
    expect(scheduledGraph(late, 7)).to.equal("a");
    expect(() => scheduledGraph(late, 0)).to.throw(UserError, "no graph for step 0");
  });

  it("checks a graph's inputs: names, dtypes, shapes", () => {
    const m = parseManifest(sampleManifest(), "m");
    const w = { name: "w", dtype: "float32", shape: [4, 2] } as const;
    checkGraphInputs(m, "step.onnx", [w, { name: "x", dtype: "float32", shape: ["unk__1", 4] }]);
    checkGraphInputs(m, "descend.onnx", [
      { ...w, name: "perturbed_grad/w" },
      { name: "hyper/lr", dtype: "float32", shape: [] },
    ]);
    const refuse = (input: Parameters<typeof checkGraphInputs>[2][number], message: string) =>
      expect(() => checkGraphInputs(m, "step.onnx", [input])).to.throw(UserError, message);
    refuse({ ...w, name: "v" }, 'step.onnx: input "v" is not in manifest.json');
    refuse({ ...w, dtype: "float64" }, 'step.onnx: parameter "w" is float64[4,2]; float32[4,2] in manifest.json');
    refuse({ ...w, shape: [4, 3] }, 'parameter "w" is float32[4,3]; float32[4,2]');
    refuse({ ...w, name: "hyper/lr" }, 'hyper "hyper/lr" is float32[4,2]; float32[]');
    expect(describeInput(m, "grad/w")?.role).to.equal("phase");
    expect(describeInput(m, "toString")).to.equal(undefined);
  });
});
