import { expect } from "chai";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { Graph, Node, Value, int, ints, newModel, tensorType, type Attributes } from "../../src/ir/graph.js";
import { joinImages, turnTransposedConvolutions } from "../../src/lower/convolutions.js";
import { serializeModel } from "../../src/serde/index.js";
import { Rng } from "../../src/util/rng.js";
import { sizeOf } from "../../src/util/shape.js";
import { relativeError } from "../support/run_graph.js";

interface Case {
  name: string;
  x: number[];
  w: number[];
  attributes?: Attributes;
  /** The batch is on the second axis: it is what the products sum over. */
  isKernelGradient?: boolean;
}

/** `op` of x and w: of a dynamic number of images, or of channels that are dynamic. */
function convolution(op: string, { x, w, attributes = {}, isKernelGradient = false }: Case): Graph {
  const graph = new Graph("convolution");
  const images = isKernelGradient ? [x[0] ?? 0, "rows"] : ["rows", x[1] ?? 0];
  const kernel = isKernelGradient ? [w[0] ?? 0, "rows"] : w.slice(0, 2);
  const inputs = [
    new Value("x", tensorType("float32", [...images, ...x.slice(2)])),
    new Value("w", tensorType("float32", [...kernel, ...w.slice(2)])),
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
  const joined: Case[] = [
    { name: "padded", x: [3, 4, 5, 6], w: [5, 4, 3, 3], attributes: { pads: ints([1, 1, 1, 1]) } },
    {
      name: "unevenly padded, dilated, with strides",
      x: [3, 4, 8, 9],
      w: [5, 4, 3, 2],
      attributes: { pads: ints([0, 1, 2, 1]), strides: ints([1, 2]), dilations: ints([2, 1]) },
    },
    { name: "on one axis", x: [2, 3, 9], w: [4, 3, 2], attributes: { pads: ints([1, 2]) } },
    ...[
      { name: "a kernel's gradient", x: [4, 3, 6, 6], w: [5, 3, 6, 6], attributes: { pads: ints([1, 1, 1, 1]) } },
      {
        name: "that of a kernel with strides",
        x: [4, 3, 8, 8],
        w: [5, 3, 4, 4],
        attributes: { dilations: ints([2, 2]), pads: ints([1, 1, 0, 0]) },
      },
      { name: "that of a dilated kernel", x: [4, 3, 7, 7], w: [5, 3, 3, 3], attributes: { strides: ints([2, 2]) } },
      { name: "that of a kernel on three axes", x: [2, 2, 3, 4, 3], w: [3, 2, 2, 3, 2] },
    ].map((c) => ({ ...c, isKernelGradient: true })),
  ];
  for (const c of joined) {
    it(`joins images: ${c.name}`, async () => {
      const ops = await same("Conv", joinImages, c);
      expect(ops).to.include.members(["Transpose", "Conv"]);
    });
  }

  const whole: Case[] = [
    { name: "whole", x: [3, 4, 5, 5], w: [2, 4, 5, 5] },
    { name: "padded", x: [3, 4, 4, 4], w: [2, 4, 5, 5], attributes: { pads: ints([1, 0, 0, 1]) } },
    {
      name: "in part, dilated",
      x: [3, 4, 6, 6],
      w: [2, 4, 2, 3],
      attributes: { strides: ints([4, 2]), dilations: ints([4, 2]) },
    },
  ];
  for (const c of whole) {
    it(`multiplies matrices where the kernel lies at one position: ${c.name}`, async () => {
      const ops = await same("Conv", joinImages, c);
      expect(ops).to.include("FusedMatMul").and.not.include("Conv");
    });
  }

  for (const [size, ops] of [
    [6, ["Transpose", "Reshape", "Conv", "Reshape", "Reshape", "Split"]],
    [8, ["Reshape", "Reshape", "FusedMatMul", "Reshape"]],
  ] as const) {
    it(`gives the gradient of a kernel of ${9 - size} positions a side with its filters first`, async () => {
      const c = { name: "", x: [4, 3, 8, 8], w: [5, 3, size, size], isKernelGradient: true };
      const exchanged = (): Graph => {
        const graph = convolution("Conv", c);
        const y = graph.outputs[0]!;
        const output = new Value("exchanged", tensorType("float32", null));
        graph.nodes.push(new Node("Transpose", [y], [output], { perm: ints([1, 0, 2, 3]) }, {}, "", "exchange"));
        y.name = "gradient";
        output.name = "y";
        graph.outputs = [output];
        return graph;
      };
      const graph = exchanged();
      expect(joinImages(graph).modified).to.equal(true);
      expect(graph.nodes.map((n) => n.op).slice(0, ops.length)).to.deep.equal(ops);
      const [before, after] = [await run(exchanged(), c), await run(graph, c)];
      expect(after.dims).to.deep.equal(before.dims);
      expect(relativeError(after.data as Float32Array, before.data as Float32Array)).to.be.below(1e-5);
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
    { name: "large images", x: [2, 3, 17, 16], w: [3, 2, 2, 3], attributes: { pads: ints([0, 1, 1, 2]) } },
    { name: "on three axes", x: [2, 2, 3, 4, 2], w: [2, 2, 2, 3, 2] },
  ];
  for (const c of turned) {
    it(`turns the kernel of a transposed convolution, or the images: ${c.name}`, async () => {
      const ops = await same("ConvTranspose", turnTransposedConvolutions, c);
      expect(ops).to.include("Conv").and.not.include("ConvTranspose");
    });
  }

  it("leaves alone what these forms do not fit", () => {
    const left = (op: string, form: (graph: Graph) => { modified: boolean }, c: Omit<Case, "name">) =>
      expect(form(convolution(op, { name: "", ...c })).modified).to.equal(false);
    left("Conv", joinImages, { x: [2, 3, 18, 18], w: [4, 3, 3, 3] });
    left("Conv", joinImages, { x: [2, 3, 4, 4], w: [4, 3, 1, 1] });
    left("Conv", joinImages, { x: [2, 4, 4, 4], w: [4, 2, 3, 3], attributes: { group: int(2) } });
    const transposed = (size: number, w: number[], attributes: Attributes) =>
      left("ConvTranspose", turnTransposedConvolutions, { x: [2, w[0] ?? 0, size, size], w, attributes });
    transposed(6, [3, 4, 3, 3], { strides: ints([2, 2]) });
    transposed(6, [3, 4, 3, 3], { pads: ints([3, 3, 3, 3]) });
    transposed(6, [3, 4, 1, 1], {});
    transposed(16, [256, 256, 3, 3], {});
    transposed(6, [4, 2, 3, 3], { group: int(2) });
  });
});
