import { expect } from "chai";
import onnxProto from "onnx-proto";
import { join } from "node:path";
import type { KernelReport } from "../../src/lower/kernel_report.js";
import { curvsam } from "../support/cli.js";
import { loadModel, saveModel } from "../../src/serde/index.js";
import { patch } from "../../src/pack/patch.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

const { onnx } = onnxProto;
const { FLOAT } = onnx.TensorProto.DataType;
const matrix = (rows: number, columns: number) => ({
  tensorType: { elemType: FLOAT, shape: { dim: [{ dimValue: rows }, { dimValue: columns }] } },
});

/** y = Bernoulli(RandomNormalLike(x·w)), and z = x: two nodes of which no derivative is known on one way, none on the other. */
const opaque = onnx.ModelProto.encode({
  irVersion: 8,
  opsetImport: [{ domain: "", version: 17 }],
  graph: {
    name: "opaque",
    input: [{ name: "x", type: matrix(4, 4) }],
    output: [
      { name: "y", type: { tensorType: { elemType: FLOAT, shape: { dim: [] } } } },
      { name: "product", type: matrix(4, 4) },
    ],
    initializer: [{ name: "head.weight", dims: [4, 4], dataType: FLOAT, rawData: new Uint8Array(64) }],
    node: [
      { name: "/head/MatMul", opType: "MatMul", input: ["x", "head.weight"], output: ["product"] },
      { name: "/head/act/RandomNormalLike", opType: "RandomNormalLike", input: ["product"], output: ["h"] },
      { name: "/Bernoulli", opType: "Bernoulli", input: ["h"], output: ["y"] },
    ],
  },
}).finish();

describe("curvsam check", () => {
  const folder = temporaryFolder();

  it("finds a real export differentiable", async () => {
    const model = join(root, "models", "roberta-mini", "model.onnx");
    const { code, stdout, stderr } = await curvsam(["check", model, "--json"]);
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
    const report = JSON.parse(stdout) as { differentiable: boolean; missing: unknown[]; parameters: string[] };
    expect(report).to.deep.include({ differentiable: true, missing: [], outputs: ["logits"] });
    expect(report.parameters).to.include("classifier.out_proj.weight");
  });

  it("lists every node without a derivative by operator, name and path, and exits 1", async () => {
    const model = folder.write("opaque.onnx", opaque);
    const json = await curvsam(["check", model, "--json"]);
    expect(json.code).to.equal(1);
    expect(JSON.parse(json.stdout)).to.deep.include({
      differentiable: false,
      missing: [
        { op: "RandomNormalLike", name: "/head/act/RandomNormalLike", path: "head.act" },
        { op: "Bernoulli", name: "/Bernoulli", path: "" },
      ],
    });
    const text = await curvsam(["check", model]);
    expect(text.code).to.equal(1);
    expect(text.stdout).to.match(
      /opaque\.onnx: not differentiable: 2 nodes without derivatives\n {2}RandomNormalLike /,
    );
    expect(text.stdout).to.match(/^ {2}Bernoulli /m);
    const patched = await curvsam(["patch", model, "-o", join(folder.path, "out"), "--loss", "mse", "--logits", "y"]);
    expect(patched.code).to.equal(1);
    expect(patched.stderr).to.match(/^curvsam: [^\n]*RandomNormalLike[^\n]*Bernoulli[^\n]*\n$/);
  });

  it("looks only at the way to the outputs that are named", async () => {
    const model = folder.write("opaque.onnx", opaque);
    expect((await curvsam(["check", model, "--logits", "product"])).code).to.equal(0);
    const absent = await curvsam(["check", model, "--logits", "produkt"]);
    expect(absent.code).to.equal(1);
    expect(absent.stderr).to.match(/^curvsam: [^\n]*"produkt"[^\n]*did you mean "product"\?\n$/);
  });

  it("warns of an attention without its dropout, and so does patch", async () => {
    const model = loadModel(join(root, "test", "fixtures", "torch", "bert-train-torchscript17.onnx"));
    const attention = model.graph.nodes.find((n) => n.op === "Dropout" && n.input(0).producer?.op === "Softmax");
    attention?.inputs.splice(2);
    const file = join(folder.path, "sdpa.onnx");
    saveModel(model, file);
    const warning = /^curvsam: warning: the dropout of 1 attention \(bert\.encoder\.layer\.0[^\n]*\n$/;
    const checked = await curvsam(["check", file, "--json"]);
    expect(checked.code).to.equal(0);
    expect(checked.stderr).to.match(warning);
    const { warnings } = JSON.parse(checked.stdout) as { warnings: { kind: string; nodes: unknown[] }[] };
    expect(warnings.map((w) => [w.kind, w.nodes.length])).to.deep.equal([["inactive", 1]]);
    const patched = await curvsam(["patch", file, "-o", join(folder.path, "warned"), "--loss", "cross-entropy"]);
    expect(patched.code).to.equal(0);
    expect(patched.stderr).to.match(warning);
  });

  describe("--ep", () => {
    const mlp = join(root, "test", "fixtures", "torch", "mlp-train-torchscript17.onnx");
    const out = join(folder.path, "package");

    before(() => patch(mlp, out, { loss: { kind: "cross-entropy" } }));

    it("names the nodes of a package that fall back to the CPU", async () => {
      const { code, stdout, stderr } = await curvsam(["check", out, "--ep", "webgpu", "--json"]);
      expect(stderr).to.equal("");
      expect(code).to.equal(0);
      const { kernels } = JSON.parse(stdout) as { kernels: KernelReport };
      const gap = kernels.gaps.find((g) => g.op === "LogSoftmax")!;
      expect(gap).to.deep.include({ why: "no kernel", instead: "cpu" });
      // In evaluate, gradient and hvp once, in the two steps in both passes.
      expect(gap.nodes).to.equal(7);
      expect(gap.graphs).to.have.members(["evaluate", "gradient", "hvp", "curvature_step", "step"]);
      const total = kernels.graphs.reduce((n, g) => n + g.onCpu, 0);
      expect(kernels.gaps.reduce((n, g) => n + g.nodes, 0)).to.equal(total);
      const text = (await curvsam(["check", out, "--ep", "webgpu"])).stdout;
      expect(text).to.contain(`${total} nodes on the CPU\n`);
      expect(text).to.match(/^fall back to the CPU$/m);
      expect(text).to.match(/^ {2}LogSoftmax +no kernel +7 nodes +evaluate, gradient/m);
    });

    it("builds the graphs of a model in memory, and says what is lowered on the CPU", async () => {
      const { code, stdout } = await curvsam(["check", mlp, "--ep", "cpu"]);
      expect(code).to.equal(0);
      expect(stdout).to.contain("differentiable: 4 parameter tensors");
      expect(stdout).to.match(/kernels of ONNX Runtime [\d.]+: 9 graphs of [\d,]+ nodes: a kernel for every node/);
      expect(stdout).to.match(/^lowered when the graphs are opened\n(.*\n)* {2}keepers +\d+ nodes /m);
    });

    it("looks for float16 kernels where a model is to be trained in mixed precision", async () => {
      const gaps = async (ep: string): Promise<string[]> => {
        const { stdout } = await curvsam(["check", mlp, "--ep", ep, "--precision", "mixed", "--json"]);
        const { kernels } = JSON.parse(stdout) as { kernels: KernelReport };
        return kernels.gaps.map(({ op, why }) => `${op}: ${why}`);
      };
      expect(await gaps("cuda")).to.deep.equal([]);
      expect(await gaps("cpu")).to.include("Add: no kernel for float16");
    });

    it("exits 1 where a node has no kernel anywhere", async () => {
      const file = join(out, "forward.onnx");
      const model = loadModel(file);
      model.graph.nodes.find((n) => n.op === "Tanh")!.op = "Tanhh";
      saveModel(model, file);
      const { code, stdout } = await curvsam(["check", out, "--ep", "cuda"]);
      expect(code).to.equal(1);
      expect(stdout).to.match(/^no kernel anywhere\n {2}Tanhh +no kernel +1 node +forward: \/Tanh$/m);
    });

    it("refuses what does not belong together", async () => {
      for (const args of [[out], [mlp, "--loss", "mse"], [mlp, "--precision", "mixed"], [mlp, "--ep", "rocm"]]) {
        const { code, stderr } = await curvsam(["check", ...args]);
        expect(code).to.equal(2);
        expect(stderr).to.match(/^curvsam: [^\n]*--ep[^\n]*\n$/);
      }
    });
  });
});
