import { expect } from "chai";
import { InferenceSession } from "onnxruntime-node";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Graph, newModel, Node, tensorType, Value } from "../../src/ir/graph.js";
import { reportKernels } from "../../src/lower/kernel_report.js";
import { isFunction, kernelFault, kernelsOf } from "../../src/lower/kernels.js";
import { nodesForCpu } from "../../src/lower/webgpu.js";
import { compose } from "../../src/optim/compose.js";
import { loadSource } from "../../src/pack/load.js";
import { emitGraphs } from "../../src/pack/patch.js";
import { graphsWithin } from "../../src/passes/pass.js";
import { serializeModel } from "../../src/serde/index.js";
import type { DType } from "../../src/util/dtype.js";
import { root } from "../support/root.js";
import { folder } from "../support/torch_fixtures.js";

/** Not float16, which the runtime casts to float32 where there is no kernel. */
const dtypes: readonly DType[] = ["float32", "float64", "int64", "int32", "uint8", "bool"];
const unary =
  "Abs Acos Asinh Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity IsNaN Log LogSoftmax Mish Neg " +
  "Not Reciprocal Relu Round Selu Shape Sigmoid Sign Sin Softmax Softplus Softsign Sqrt Tan Tanh Transpose GlobalAveragePool";
const binary =
  "Add And Div Equal Greater GreaterOrEqual Less MatMul Max Mean Min Mul Or PRelu Pow Sub Sum Xor Conv ConvTranspose Gemm";

/** One node on inputs of one type, its output left to the runtime's own inference. */
function single(op: string, arity: number, dtype: DType): Graph {
  const graph = new Graph("single");
  graph.inputs = Array.from({ length: arity }, (_, i) => new Value(`x${i}`, tensorType(dtype, [2, 2, 2])));
  if (op === "Gemm") for (const input of graph.inputs) input.type = tensorType(dtype, [2, 2]);
  const output = new Value("y", null);
  graph.nodes = [new Node(op, [...graph.inputs], [output], {}, {}, "", "node")];
  graph.outputs = [output];
  return graph;
}

/** What the CPU provider itself says; undefined where the operator is not defined for the type at all. */
async function runs(graph: Graph, opset: number): Promise<boolean | undefined> {
  try {
    const options = { graphOptimizationLevel: "disabled", logSeverityLevel: 4 } as const;
    const session = await InferenceSession.create(serializeModel(newModel(graph, opset)), options);
    await session.release();
    return true;
  } catch (error) {
    return String(error).includes("NOT_IMPLEMENTED") || String(error).includes("Could not find an implementation")
      ? false
      : undefined;
  }
}

/** The graphs that CurvSAM over AdamW trains a fixture with. */
async function emitted(file: string): Promise<[string, Graph, ReadonlyMap<string, number>][]> {
  const { source } = await loadSource(join(folder, file), { loss: { kind: "cross-entropy" } });
  const graphs = emitGraphs({ source, optimizer: compose("curvsam", "adamw"), groupedHyper: new Set() });
  return [...graphs].map(([name, graph]) => [name, graph, newModel(graph).opsets]);
}

const sizeOf = (graph: Graph): number => [...graphsWithin(graph)].reduce((n, g) => n + g.nodes.length, 0);

describe("the kernel table", () => {
  it("is of the version of the runtime that this package depends on", () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    expect(kernelsOf).to.equal(dependencies["onnxruntime-node"]);
  });

  for (const opset of [13, 21]) {
    it(`says of the CPU at opset ${opset} what the runtime itself says`, async () => {
      const counts = { yes: 0, no: 0 };
      for (const [ops, arity] of [
        [unary, 1],
        [binary, 2],
      ] as const) {
        for (const op of ops.split(" ")) {
          for (const dtype of dtypes) {
            const graph = single(op, arity, dtype);
            const truth = await runs(graph, opset);
            if (truth === undefined) continue;
            const fault = kernelFault(graph.nodes[0]!, "cpu", opset);
            // Functions without a kernel are written out, as far as what they consist of has kernels.
            if (fault !== undefined && isFunction(graph.nodes[0]!)) continue;
            expect(fault === undefined, `${op} of ${dtype}: ${fault}`).to.equal(truth);
            counts[truth ? "yes" : "no"]++;
          }
        }
      }
      expect(counts.yes).to.be.above(120);
      expect(counts.no).to.be.above(10);
    });
  }

  it("has a CPU kernel for every node of graphs that run there", async () => {
    for (const file of ["roberta-train-torchscript17.onnx", "mlp-train-torchscript17.onnx"]) {
      const report = reportKernels(await emitted(file), "cpu");
      expect(report.gaps).to.deep.equal([]);
      expect(report.graphs.every((g) => g.nodes > 0)).to.equal(true);
    }
  });

  it("looks at the graphs that the CPU runs, not at those in the files", async () => {
    const graphs = await emitted("roberta-train-torchscript17.onnx");
    const before = graphs.map(([, graph]) => sizeOf(graph));
    const { graphs: rows, lowered } = reportKernels(graphs, "cpu");
    const after = graphs.map(([, graph]) => sizeOf(graph));
    expect(lowered.map((l) => l.lowering)).to.include("products");
    expect(rows.map((row) => row.nodes))
      .to.deep.equal(after)
      .and.not.deep.equal(before);

    const step = graphs.find(([name]) => name === "step")!;
    step[1].nodes.find((node) => node.op === "FusedMatMul")!.op = "FusedMatMull";
    expect(reportKernels([step], "cpu").gaps).to.deep.include.members([
      {
        ...{ op: "com.microsoft::FusedMatMull", why: "no kernel", instead: null, nodes: 1, graphs: ["step"] },
        names: [step[1].nodes.find((node) => node.op === "FusedMatMull")!.name],
      },
    ]);
  });

  it("counts what sessions keep from WebGPU, and from no other provider", () => {
    const pooling = (): Graph => {
      const graph = single("MaxPool", 1, "float32");
      graph.nodes[0]!.outputs.push(new Value("indices", tensorType("int64", [2, 2, 1])));
      return graph;
    };
    const report = (provider: "webgpu" | "cuda") =>
      reportKernels([["evaluate", pooling(), newModel(pooling(), 21).opsets]], provider);
    const gap = { op: "MaxPool", why: "kernel fails in this form", instead: "cpu", nodes: 1, graphs: ["evaluate"] };
    const { gaps, graphs } = report("webgpu");
    expect(gaps).to.deep.equal([{ ...gap, names: nodesForCpu(pooling()) }]);
    expect(graphs).to.deep.equal([{ graph: "evaluate", nodes: 1, onCpu: 1, expanded: 0, nowhere: 0 }]);
    expect(report("cuda").gaps).to.deep.equal([]);
  });

  it("knows what was measured of WebGPU and read of CUDA and DirectML", () => {
    const fault = (op: string, dtype: DType, provider: "cuda" | "dml" | "webgpu", arity = 1): string | undefined =>
      kernelFault(single(op, arity, dtype).nodes[0]!, provider, 21);
    expect(fault("LogSoftmax", "float32", "webgpu")).to.equal("no kernel");
    expect(fault("Add", "float32", "webgpu", 2)).to.equal(undefined);
    expect(fault("Add", "int64", "webgpu", 2)).to.equal("no kernel for int64");
    expect(fault("Sum", "float32", "webgpu", 2)).to.equal("no kernel");
    expect(fault("Col2Im", "float32", "cuda", 3)).to.equal("no kernel");
    expect(fault("MatMul", "float32", "cuda", 2)).to.equal(undefined);
    expect(fault("MatMul", "int64", "cuda", 2)).to.equal("no kernel for int64");
    expect(fault("Loop", "float32", "dml")).to.equal("no kernel");
    expect(fault("Relu", "float32", "dml")).to.equal(undefined);
  });

  it("tells kernels of other versions of an operator apart", () => {
    // WebGPU has GridSample of opset 16 only, which opset 20 changed.
    const node = single("GridSample", 2, "float32").nodes[0]!;
    expect(kernelFault(node, "webgpu", 16)).to.equal(undefined);
    expect(kernelFault(node, "webgpu", 21)).to.equal("no kernel of opset 21");
  });
});
