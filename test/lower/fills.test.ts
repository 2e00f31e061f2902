import { expect } from "chai";
import { string, int, tensorType, Value, type Graph } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { makeFills } from "../../src/lower/fills.js";
import { newBuilder } from "../../src/ops/builder.js";
import { runGraph, type Feed } from "../support/run_graph.js";

const rows = 5000;
const dims = [rows, 4];

/** Two scatters into the constant `start`, as two passes through an embedding have them. */
function scatters(start: Tensor): Graph {
  const b = newBuilder("scatters");
  const table = new Value("start", tensorType("float32", dims));
  b.graph.initializers.set(table, start);
  const ids = b.input("ids", tensorType("int64", [3, 4]));
  for (const name of ["first", "second"]) {
    const updates = b.input(name, tensorType("float32", [3, 4]));
    const attributes = { axis: int(0), reduction: string("add") };
    b.output(b.op("ScatterElements", [table, ids, updates], attributes), `${name}_sum`);
  }
  return b.graph;
}

const feeds = new Map<string, Feed>([
  ["ids", { dtype: "int64", dims: [3, 4], data: BigInt64Array.from({ length: 12 }, (_, i) => BigInt(i < 4 ? 7 : i)) }],
  ["first", { dtype: "float32", dims: [3, 4], data: Float32Array.from({ length: 12 }, (_, i) => i + 1) }],
  ["second", { dtype: "float32", dims: [3, 4], data: Float32Array.from({ length: 12 }, (_, i) => -i) }],
]);

describe("constants of one value", () => {
  it("are made where they are read, one for each reader, with the same results", async () => {
    const start = (): Graph => scatters(Tensor.of("float32", dims, Array<number>(rows * 4).fill(0.5)));
    const graph = start();
    expect(makeFills(graph).modified).to.equal(true);
    expect(graph.nodes.filter(({ op }) => op === "ConstantOfShape")).to.have.length(2);
    expect([...graph.initializers.values()].every(({ size }) => size < rows)).to.equal(true);
    expect(await runGraph(graph, feeds)).to.deep.equal(await runGraph(start(), feeds));
  });

  it("stay where values differ, or little is gained", () => {
    const values = Array<number>(rows * 4).fill(0);
    values[rows] = 1;
    expect(makeFills(scatters(Tensor.of("float32", dims, values))).modified).to.equal(false);
    const b = newBuilder("small");
    const small = new Value("small", tensorType("float32", [4]));
    b.graph.initializers.set(small, Tensor.of("float32", [4], [0, 0, 0, 0]));
    b.output(b.op("Add", [b.input("x", tensorType("float32", [4])), small]), "y");
    expect(makeFills(b.graph).modified).to.equal(false);
  });
});
