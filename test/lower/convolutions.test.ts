import { expect } from "chai";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { Graph, Node, Value, int, ints, newModel, tensorType, type Attributes } from "../../src/ir/graph.js";
import { multiplyFewPositions, turnTransposedConvolutions } from "../../src/lower/convolutions.js";
import { serializeModel } from "../../src/serde/index.js";
import { Rng } from "../../src/util/rng.js";
import { sizeOf } from "../../src/util/shape.js";
import { relativeError } from "../support/run_graph.js";

interface Case {
  name: string;
  x: number[];
  w: number[];
  attributes?: Attributes;
}

/** `op` of x, whose first two dimensions are dynamic, and w. */
function convolution(op: string, { x, w, attributes = {} }: Case): Graph {
  const graph = new Graph("convolution");
  const channels = op === "Conv" ? "channels" : (w[0] ?? 0);
  const inputs = [
    new Value("x", tensorType("float32", ["rows", channels, ...x.slice(2)])),
    new Value("w", tensorType("float32", [w[0] ?? 0, op === "Conv" ? "channels" : (w[1] ?? 0), ...w.slice(2)])),
  ];
  const output = new Value("y", tensorType("float32", null));
  graph.inputs.push(...inputs);
  graph.nodes.push(new Node(op, inputs, [output], attributes, {}, "", "convolution"));
  graph.outputs.push(output);
  return graph;
}

async function run(graph: Graph, { x, w }: Case): Promise<Tensor> {
  const model = newModel(graph);
  model.opsets.set("com.microsoft", 1);
  const session = await InferenceSession.create(serializeModel(model), { logSeverityLevel: 3 });
  const rng = new Rng(1);
  const random = (dims: number[]): Tensor =>
    new Tensor(
      "float32",
      Float32Array.from({ length: sizeOf(dims) }, () => rng.uniform() - 0.5),
      dims,
    );
  const { y } = await session.run({ x: random(x), w: random(w) });
  await session.release();
  return y as Tensor;
}

async function same(op: string, form: (graph: Graph) => { modified: boolean }, c: Case): Promise<string[]> {
  const before = await run(convolution(op, c), c);
  const graph = convolution(op, c);
  expect(form(graph).modified, "modified").to.equal(true);
  const after = await run(graph, c);
  expect(after.dims).to.deep.equal(before.dims);
  expect(relativeError(after.data as Float32Array, before.data as Float32Array)).to.be.below(1e-5);
  return graph.nodes.map((n) => n.op);
}

describe("convolutions of the CPU provider", () => {
  const few: Case[] = [
    { name: "a kernel's gradient", x: [3, 4, 6, 6], w: [5, 4, 6, 6], attributes: { pads: ints([1, 1, 1, 1]) } },
    { name: "with strides", x: [3, 4, 5, 7], w: [5, 4, 3, 3], attributes: { strides: ints([1, 2]) } },
    {
      name: "of a strided convolution: the kernel is dilated",
      x: [2, 3, 8, 8],
      w: [4, 3, 4, 4],
      attributes: { dilations: ints([2, 2]), pads: ints([1, 0, 0, 1]) },
    },
    { name: "of one by one", x: [3, 4, 5, 5], w: [2, 4, 5, 5] },
    { name: "on one axis", x: [2, 3, 9], w: [4, 3, 8], attributes: { pads: ints([1, 2]) } },
    { name: "on three axes", x: [2, 2, 3, 4, 3], w: [2, 2, 3, 3, 2] },
  ];
  for (const c of few) {
    it(`multiplies matrices where the kernel lies at few positions: ${c.name}`, async () => {
      const ops = await same("Conv", multiplyFewPositions, c);
      expect(ops).to.include("FusedMatMul").and.not.include("Conv");
    });
  }

  const turned: Case[] = [
    { name: "padded", x: [2, 3, 5, 6], w: [3, 4, 3, 3], attributes: { pads: ints([1, 1, 1, 1]) } },
    {
      name: "unevenly padded, dilated",
      x: [2, 3, 5, 6],
      w: [3, 2, 2, 3],
      attributes: { pads: ints([0, 1, 2, 4]), dilations: ints([2, 2]) },
    },
    { name: "on one axis", x: [2, 3, 7], w: [3, 2, 4] },
  ];
  for (const c of turned) {
    it(`turns the kernel of a transposed convolution: ${c.name}`, async () => {
      const ops = await same("ConvTranspose", turnTransposedConvolutions, c);
      expect(ops).to.include("Conv").and.not.include("ConvTranspose");
    });
  }

  it("leaves alone what these forms do not fit", () => {
    const left = (op: string, form: (graph: Graph) => { modified: boolean }, c: Omit<Case, "name">) =>
      expect(form(convolution(op, { name: "", ...c })).modified).to.equal(false);
    left("Conv", multiplyFewPositions, { x: [2, 3, 9, 9], w: [4, 3, 3, 3] });
    left("Conv", multiplyFewPositions, { x: [2, 4, 4, 4], w: [4, 2, 4, 4], attributes: { group: int(2) } });
    const transposed = (w: number[], attributes: Attributes) =>
      left("ConvTranspose", turnTransposedConvolutions, { x: [2, w[0] ?? 0, 6, 6], w, attributes });
    transposed([3, 4, 3, 3], { strides: ints([2, 2]) });
    transposed([3, 4, 3, 3], { pads: ints([3, 3, 3, 3]) });
    transposed([3, 4, 1, 1], {});
    transposed([256, 256, 3, 3], {});
    transposed([4, 2, 3, 3], { group: int(2) });
  });
});
