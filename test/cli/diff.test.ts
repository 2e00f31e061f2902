import { expect } from "chai";
import { join } from "node:path";
import type { DiffReport } from "../../src/pack/diff.js";
import { patch } from "../../src/pack/patch.js";
import { loadModel, saveModel } from "../../src/serde/index.js";
import { Tensor } from "../../src/ir/tensor.js";
import { curvsam } from "../support/cli.js";
import { temporaryFolder } from "../support/temp.js";
import { folder as fixtures } from "../support/torch_fixtures.js";

const model = join(fixtures, "mlp-train-torchscript17.onnx");
const parameters = ["hidden.weight", "hidden.bias", "output.weight", "output.bias"];
/** Ratio and mode. */
const dropout = ["/dropout/Constant_output_0", "/dropout/Constant_1_output_0"];

describe("curvsam diff", () => {
  const folder = temporaryFolder();
  const out = join(folder.path, "out");
  const report = async (...args: string[]): Promise<DiffReport> => {
    const { code, stdout, stderr } = await curvsam(["diff", ...args, "--json"]);
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
    return JSON.parse(stdout) as DiffReport;
  };

  before(() => patch(model, out, { loss: { kind: "cross-entropy" }, optimizer: "curvsam" }));

  it("tells what a package's graphs keep, change, lose and add", async () => {
    const { graphs, nodes } = await report(model, out);
    expect(nodes).to.equal(4);
    const step = graphs.find((g) => g.graph === "curvature_step")!;
    expect(step.nodes.kept).to.equal(2);
    // Its operand was the dropout's output.
    expect(step.nodes.changed).to.deep.equal([{ op: "Gemm", name: "/output/Gemm", differs: ["input 0"] }]);
    expect(step.nodes.gone.map((n) => n.op)).to.deep.equal(["Dropout"]);
    expect(step.initializers.fed).to.have.members(parameters);
    expect(step.initializers.gone).to.deep.equal(dropout);
    expect(step.initializers.changed).to.deep.equal([]);
    expect(step.inputs.kept).to.deep.equal(["x"]);
    expect(step.inputs.added).to.include.members(["labels", "hyper/lr", "z/hidden.weight"]);
    expect(step.inputs.added).to.not.include.members(parameters);
    expect(step.outputs).to.deep.include({ kept: [], gone: ["logits"] });
  });

  it("counts the nodes of each phase", async () => {
    for (const { file, phases, nodes } of (await report(model, out)).graphs) {
      const { graph } = loadModel(file);
      const named = (start: string): number => graph.nodes.filter((n) => n.name.startsWith(start)).length;
      expect(nodes.total).to.equal(graph.nodes.length);
      expect(phases.reduce((n, p) => n + p.nodes, 0)).to.equal(graph.nodes.length);
      for (const { phase, nodes: all, original, added, ops } of phases) {
        if (phase.includes("/")) expect(all, `${file} ${phase}`).to.equal(named(`${phase}/`));
        expect(original + added).to.equal(all);
        expect(Object.values(ops).reduce((a, b) => a + b, 0)).to.equal(added);
      }
    }
  });

  it("prints a row a graph, and one graph in full", async () => {
    const all = await curvsam(["diff", model, out]);
    expect(all.stdout).to.match(/^ {2}graph +kept +changed +gone +added/m);
    expect(all.stdout).to.match(/^ {2}curvature_step +2 +1 +1 +\+\d+/m);
    const one = await curvsam(["diff", model, out, "--graph", "step"]);
    expect(one.stdout).to.match(/^ {2}pass2\/backward +\d+ +0 +\+\d+ .*Gemm 3/m);
    expect(one.stdout).to.match(/^ {2}inputs +1 kept, 0 changed, 0 gone, \d+ added: .*hyper\/… \d/m);
    expect(one.stdout).to.match(/^ {2}Dropout +1 +\/dropout\/Dropout$/m);
  });

  it("finds nothing between a model and itself, and the tensor that was trained", async () => {
    const same = (await report(model, model)).graphs[0]!;
    expect(same.nodes).to.deep.equal({ total: 4, kept: 4, changed: [], gone: [], added: 0 });
    const trained = loadModel(model);
    const [bias] = [...trained.graph.initializers.keys()].filter((v) => v.name === "output.bias");
    trained.graph.initializers.set(bias!, Tensor.of("float32", [3], [1, 2, 3]));
    const file = join(folder.path, "trained.onnx");
    saveModel(trained, file);
    const { initializers } = (await report(model, file)).graphs[0]!;
    expect(initializers.changed).to.deep.equal([{ name: "output.bias", was: "float32[3]", is: "other values" }]);
    expect(initializers.kept).to.have.members([...parameters.slice(0, 3), ...dropout]);
  });

  it("follows nodes without names by what they compute", async () => {
    const nameless = loadModel(model);
    for (const node of nameless.graph.nodes) node.name = "";
    const file = join(folder.path, "nameless.onnx");
    saveModel(nameless, file);
    const { nodes } = (await report(file, model)).graphs[0]!;
    expect(nodes).to.deep.include({ kept: 4, changed: [], gone: [], added: 0 });
  });

  it("says what differs in a node", async () => {
    const other = loadModel(model);
    const tanh = other.graph.nodes.find((n) => n.op === "Tanh")!;
    tanh.op = "Relu";
    const gemm = other.graph.nodes.find((n) => n.name === "/output/Gemm")!;
    gemm.attributes = { ...gemm.attributes, alpha: { type: "float", value: 2 } };
    const file = join(folder.path, "other.onnx");
    saveModel(other, file);
    const { nodes } = (await report(model, file)).graphs[0]!;
    expect(nodes.changed.map((n) => [n.op, ...n.differs])).to.deep.equal([
      ["Tanh", "operator Relu"],
      ["Gemm", "attribute alpha"],
    ]);
    expect(nodes).to.deep.include({ kept: 2, gone: [], added: 0 });
  });

  it("refuses what it cannot compare in one line", async () => {
    const refused = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await curvsam(["diff", ...args]);
      expect(stdout).to.equal("");
      expect(code).to.equal(1);
      expect(stderr).to.match(/^curvsam: [^\n]+\n$/);
      return stderr;
    };
    expect(await refused(model, out, "--graph", "stp")).to.match(/"stp".*did you mean "step"\?/);
    expect(await refused(model, model, "--graph", "step")).to.contain("no training package");
    expect(await refused(model, fixtures)).to.contain("no training package");
    expect(await refused(model, join(folder.path, "absent.onnx"))).to.contain("no such file");
  });
});
