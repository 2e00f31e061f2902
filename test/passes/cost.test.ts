import { expect } from "chai";
import type { Value } from "../../src/ir/graph.js";
import { int, string, tensorType, type Attributes } from "../../src/ir/graph.js";
import { findSource } from "../../src/frontend/source.js";
import { compose } from "../../src/optim/compose.js";
import { stepGraph } from "../../src/pack/step.js";
import { tidy } from "../../src/pack/tidy.js";
import { variantsOf } from "../../src/pack/variants.js";
import { costOf } from "../../src/passes/cost.js";

import { twoLayers } from "../support/two_layers.js";
import { Sketch } from "./sketch.js";

const sizes = new Map([["batch", 10]]);

describe("cost", () => {
  /** The FLOPs of one node on inputs of these shapes. */
  function flops(op: string, shapes: number[][], made: number[], attributes: Attributes = {}): number | undefined {
    const s = new Sketch();
    const inputs = shapes.map((shape, i) => s.input(`x${i}`, shape));
    const y = s.op(op, inputs, "y", attributes);
    y.type = tensorType("float32", made);
    return costOf(s.output(y).graph, sizes).flops[s.graph.name];
  }

  it("counts two operations for each multiply-add of a product", () => {
    expect(flops("MatMul", [[7, 3, 4], [4, 5]], [7, 3, 5])).to.equal(2 * 7 * 3 * 4 * 5); // prettier-ignore
    expect(flops("Gemm", [[4, 3], [5, 4]], [3, 5], { transA: int(1), transB: int(1) })).to.equal(2 * 3 * 4 * 5); // prettier-ignore
    expect(flops("Einsum", [[7, 3, 4], [7, 5, 4]], [7, 3, 5], { equation: string("bij,bkj->bik") })).to.equal(2 * 7 * 3 * 4 * 5); // prettier-ignore
    // 6 output channels from 4 in 2 groups: each sums 2 × 3 × 3 products.
    expect(flops("Conv", [[1, 4, 8, 8], [6, 2, 3, 3]], [1, 6, 6, 6], { group: int(2) })).to.equal(2 * 6 * 36 * 18); // prettier-ignore
    expect(flops("ConvTranspose", [[1, 4, 6, 6], [4, 2, 3, 3]], [1, 2, 8, 8])).to.equal(2 * 4 * 36 * 18); // prettier-ignore
  });

  it("counts what others read and write, views nothing, selections what they select", () => {
    const s = new Sketch();
    const op = (name: string, kind: string, inputs: Value[], shape: number[], attributes: Attributes = {}): Value => {
      const v = s.op(kind, inputs, name, attributes);
      v.type = tensorType("float32", shape);
      return v;
    };
    const table = s.input("table", [1000, 4]);
    const ids = s.ints("ids", [3, 1]);
    const rows = op("rows", "Gather", [table, ids], [2, 4]);
    const flat = op("flat", "Reshape", [rows, s.ints("minus", [-1])], [8]);
    const sum = op("sum", "Add", [flat, flat], [8]);
    s.output(sum);
    const cost = costOf(s.graph, sizes);
    // Gather reads and writes 32 bytes beside two indices of 8; Add reads twice 32 and writes 32.
    expect(cost.moved).to.equal(32 + 32 + 16 + 3 * 32);
    expect(cost.ops).to.deep.equal({ Add: 1, Gather: 1, Reshape: 1 });
    expect(cost.peak).to.equal(32 + 32);
  });

  it("says how many products it could not count", () => {
    const s = new Sketch();
    const x = s.input("x", [2, 3]);
    x.type = tensorType("float32", ["?0", 3]);
    const y = s.op("MatMul", [x, s.input("w", [3, 3])], "y");
    y.type = tensorType("float32", ["?0", 3]);
    expect(costOf(s.output(y).graph, sizes)).to.deep.include({ flops: { [s.graph.name]: 0 }, unknown: 1 });
  });

  it("is of a step what arithmetic says, phase by phase", () => {
    const source = findSource(twoLayers(), { loss: { kind: "mse" } });
    const optimizer = compose("curvsam", "sgd");
    const [refresh, plain] = variantsOf(optimizer).map((variant) =>
      costOf(tidy(stepGraph({ source, optimizer, groupedHyper: new Set() }, variant)), sizes),
    );
    // 3 → 4 → 2: a forward pass, the gradients of both weights, and that of the hidden units.
    const [hidden, output] = [2 * 10 * 3 * 4, 2 * 10 * 4 * 2];
    const pass = 2 * hidden + 3 * output;
    expect(plain!.flops).to.deep.equal({ pass1: pass, pass2: pass });
    // Forward over reverse takes the tangent of every product: one for the data, one for the weight that is moved.
    const tangents = hidden + 2 * output + hidden + 4 * output;
    expect(refresh!.flops).to.deep.equal({ pass1: pass, curvature: tangents, pass2: pass });
    expect(plain!.unknown).to.equal(0);
  });
});
