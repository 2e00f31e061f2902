import { expect } from "chai";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { newModel, string, tensorType, type Graph } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import { exactScatters } from "../../src/passes/scatters.js";
import { serializeModel } from "../../src/serde/index.js";
import type { Dim } from "../../src/util/shape.js";
import { array } from "../reference/array.js";
import { outputsOf } from "../reference/evaluate.js";

function scatter(data: Dim[], indices: Dim[], updates: Dim[]): Graph {
  const b = newBuilder("scatter");
  const inputs = [
    b.input("data", tensorType("float32", data)),
    b.input("indices", tensorType("int64", indices)),
    b.input("updates", tensorType("float32", updates)),
  ];
  b.output(b.op("ScatterND", inputs, { reduction: string("add") }), "y");
  return b.graph;
}

const operators = (graph: Graph): string[] => graph.nodes.map((n) => n.op);
const wave = (length: number): number[] => Array.from({ length }, (_, i) => Math.sin(1.3 * i + 1));

describe("additions of ScatterND", () => {
  const cases = [
    { name: "rows of a table", data: [4, 3], indices: [2, 3, 1], of: [0, 3, 0, 1, -1, 3] },
    { name: "places in a vector", data: [5], indices: [4, 1], of: [1, 1, -5, 4] },
    { name: "tuples of two numbers", data: [2, 3, 2], indices: [4, 2], of: [0, 1, 1, -1, -2, 1, 1, 2] },
    { name: "tuples for single elements", data: [2, 3], indices: [2, 2, 2], of: [0, 0, 1, 2, -1, -1, 0, 0] },
  ];
  for (const { name, data, indices, of } of cases) {
    it(`become ScatterElements of the same values: ${name}`, () => {
      const updates = [...indices.slice(0, -1), ...data.slice(indices.at(-1))];
      const size = (dims: number[]): number => dims.reduce((p, q) => p * q, 1);
      const feeds = {
        data: array("float32", data, wave(size(data))),
        indices: array("int64", indices, of),
        updates: array("float32", updates, wave(size(updates)).map((x) => 2 * x)), // prettier-ignore
      };
      const symbols = (dims: number[], fixed: number): Dim[] => dims.map((d, i) => (i < fixed ? `${name}${i}` : d));
      const graph = scatter(data, symbols(indices, indices.length - 1), symbols(updates, indices.length - 1));
      const before = outputsOf(graph, feeds)["y"];
      const exact = exactScatters(graph);
      expect(operators(exact)).to.include("ScatterElements").and.not.include("ScatterND");
      expect(outputsOf(exact, feeds)["y"]).to.deep.equal(before);
    });
  }

  it("lose nothing in several threads where rows repeat", async () => {
    const [rows, width] = [1024, 384];
    const graph = exactScatters(scatter([2, width], ["n", 1], ["n", width]));
    const session = await InferenceSession.create(serializeModel(newModel(graph)), { intraOpNumThreads: 2 });
    const feeds = {
      data: new OrtTensor("float32", new Float32Array(2 * width), [2, width]),
      indices: new OrtTensor("int64", new BigInt64Array(rows), [rows, 1]),
      updates: new OrtTensor("float32", new Float32Array(rows * width).fill(1), [rows, width]),
    };
    for (let run = 0; run < 30; run++) {
      const { y } = await session.run(feeds);
      const sums = new Set((y!.data as Float32Array).subarray(0, width));
      expect([...sums]).to.deep.equal([rows]);
    }
    await session.release();
  });

  it("leave other graphs alone", () => {
    const graph = scatter([2, 3], ["n", 1], ["n", 3]);
    graph.nodes[0]!.attributes = { reduction: string("max") };
    expect(exactScatters(graph)).to.equal(graph);
  });
});
