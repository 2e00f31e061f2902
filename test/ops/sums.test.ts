import { expect } from "chai";
import { tensorType } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import * as e from "../../src/ops/emit.js";
import { must } from "../../src/util/assert.js";
import { Rng } from "../../src/util/rng.js";
import { runGraph } from "../support/run_graph.js";

describe("sums over large tensors", () => {
  it("keep the digits of float32", async () => {
    const [rows, columns] = [4096, 512];
    const data = new Float32Array(rows * columns);
    new Rng(0, "sums").fillNormal(data);
    const b = newBuilder("sums");
    const x = b.input("x", tensorType("float32", ["rows", columns]));
    b.output(e.sumSquares(b, x), "squares");
    b.output(e.sumAll(b, e.abs(b, x)), "sum");
    const results = await runGraph(b.graph, new Map([["x", { dtype: "float32", dims: [rows, columns], data }]]));
    const expected = {
      squares: data.reduce((sum, v) => sum + v * v, 0),
      sum: data.reduce((sum, v) => sum + Math.abs(v), 0),
    };
    for (const [name, value] of Object.entries(expected)) {
      const [got = NaN] = must(results.get(name), name);
      expect(Math.abs(got / value - 1), name).to.be.below(2e-6);
    }
  });
});
