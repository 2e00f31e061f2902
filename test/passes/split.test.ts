import { expect } from "chai";
import { newModel, tensorType, type Graph, type Value } from "../../src/ir/graph.js";
import { slicesToSplits } from "../../src/passes/split.js";
import { serializeModel } from "../../src/serde/index.js";
import { array } from "../reference/array.js";
import { runOnce } from "../support/ort.js";
import { Sketch } from "./sketch.js";

/** Slices [start, end) of x: [2, 6] along the last axis, and their negatives as outputs. */
function slices(...ranges: readonly (readonly [number, number])[]): { graph: Graph; s: Sketch } {
  const s = new Sketch();
  const x = s.input("x", [2, 6]);
  const axes = s.ints("axes", [-1]);
  const outputs = ranges.map(([start, end], i): Value => {
    const part = s.op("Slice", [x, s.ints(`start${i}`, [start]), s.ints(`end${i}`, [end]), axes], `part${i}`);
    const y = s.op("Neg", [part], `y${i}`);
    y.type = tensorType("float32", null);
    return y;
  });
  s.output(...outputs);
  return { graph: s.graph, s };
}

const feeds = { x: array("float32", [2, 6], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) };

describe("slices that cover an axis become one split", () => {
  it("in any order, with bounds from the end and beyond it", async () => {
    const { graph, s } = slices([-4, 2 ** 40], [0, 2]);
    const before = await runOnce(serializeModel(newModel(graph)), feeds);
    expect(slicesToSplits(graph)).to.deep.equal({ modified: true });
    expect(s.ops).to.deep.equal(["Split", "Neg", "Neg"]);
    expect(s.constants["part0/sizes"]).to.deep.equal([2, 4]);
    expect(await runOnce(serializeModel(newModel(graph)), feeds)).to.deep.equal(before);
    expect(slicesToSplits(graph)).to.deep.equal({ modified: false });
  });

  for (const [name, ranges] of [
    [
      "leave a gap",
      [
        [0, 2],
        [3, 6],
      ],
    ],
    [
      "overlap",
      [
        [0, 4],
        [3, 6],
      ],
    ],
    [
      "leave the end",
      [
        [0, 2],
        [2, 5],
      ],
    ],
    ["come alone", [[0, 6]]],
  ] as [string, [number, number][]][]) {
    it(`but not where they ${name}`, () => {
      const { graph } = slices(...ranges);
      expect(slicesToSplits(graph)).to.deep.equal({ modified: false });
    });
  }
});
