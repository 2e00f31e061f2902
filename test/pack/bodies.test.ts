import { expect } from "chai";
import { Graph, Node, Value, int, newModel, tensorType, type Type } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { compose } from "../../src/optim/compose.js";
import { checkModel } from "../../src/pack/check.js";
import { loadSource, loadTyped } from "../../src/pack/load.js";
import { gradientGraph } from "../../src/pack/phases.js";
import { serializeModel } from "../../src/serde/index.js";
import { rejects } from "../support/rejects.js";
import { temporaryFolder } from "../support/temp.js";

const float = (...shape: (number | string)[]): Type => tensorType("float32", shape);

/**
 * x: [batch, 3] → y, a Loop of two iterations over a carry: h = step(h · cell.weight), the weight being a constant of the
 * body; it grows where `grows` says so.
 */
function looping(step: (h: Value, next: Value) => Node[], grows = false): Uint8Array {
  const [x, y, trips] = [
    new Value("x", float("batch", 3)),
    new Value("y", float("batch", grows ? "n" : 3)),
    new Value("n", null),
  ];
  const [i, going, h, next, product, weight] = ["i", "going", "h", "next", "product", "cell.weight"].map(
    (name) => new Value(name, null),
  ) as [Value, Value, Value, Value, Value, Value];
  i.type = tensorType("int64", []);
  going.type = tensorType("bool", []);
  const body = new Graph("body");
  body.inputs = [i, going, h];
  const copy = new Value("still", null);
  body.nodes = [
    new Node("Identity", [going], [copy], {}, {}, "", "go on"),
    ...(grows ? [] : [new Node("MatMul", [h, weight], [product], {}, {}, "", "product")]),
    ...step(grows ? h : product, next),
  ];
  body.outputs = [copy, next];
  if (!grows)
    body.initializers.set(
      weight,
      Tensor.of(
        "float32",
        [3, 3],
        [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => n / 10),
      ),
    );
  const graph = new Graph("g");
  graph.inputs = [x];
  graph.outputs = [y];
  graph.initializers.set(trips, Tensor.of("int64", [], [2]));
  graph.nodes = [new Node("Loop", [trips, null, x], [y], {}, { body }, "", "over")];
  return serializeModel(newModel(graph));
}

const tanh = (h: Value, next: Value): Node[] => [new Node("Tanh", [h], [next], {}, {}, "", "bend")];
const loss = { kind: "mse" } as const;

describe("models with bodies", () => {
  const folder = temporaryFolder();
  const write = (name: string, bytes: Uint8Array): string => folder.write(`${name}.onnx`, bytes);

  it("are typed within", async () => {
    const { model } = await loadTyped(write("typed", looping(tanh)));
    const loop = model.graph.nodes.find((n) => n.op === "Loop")!;
    const body = loop.bodies["body"]!;
    expect(body.inputs.map((v) => v.shape)).to.deep.equal([[], [], ["batch", 3]]);
    for (const n of body.nodes) for (const o of n.outputs) expect(o!.type, n.label).to.not.equal(null);
    expect(loop.output().shape).to.deep.equal(["batch", 3]);
  });

  it("keep only the dimensions of a carry that no iteration changes", async () => {
    const twice = (h: Value, next: Value): Node[] => [
      new Node("Concat", [h, h], [next], { axis: int(1) }, {}, "", "grow"),
    ];
    const { model } = await loadTyped(write("grows", looping(twice, true)));
    const carry = model.graph.nodes.find((n) => n.op === "Loop")!.bodies["body"]!.inputs[2]!;
    expect(carry.shape![0]).to.equal("batch");
    expect(carry.shape![1]).to.match(/^\?/);
  });

  it("have parameters that only bodies read", async () => {
    const file = write("weights", looping(tanh));
    const { source } = await loadSource(file, { loss });
    expect(source.parameters.map((p) => p.name)).to.deep.equal(["cell.weight"]);
    const report = await checkModel(file);
    expect(report).to.deep.include({ differentiable: true, parameters: ["cell.weight"], missing: [] });
  });

  it("are refused where derivatives end within, naming the node", async () => {
    const rounded = (h: Value, next: Value): Node[] => {
      const whole = new Value("whole", null);
      return [
        new Node("Cast", [h], [whole], { to: int(7) }, {}, "", "to whole"),
        new Node("Cast", [whole], [next], { to: int(1) }, {}, "", "back"),
      ];
    };
    const file = write("integers", looping(rounded));
    await rejects(() => loadSource(file, { loss }), 'Cast "to whole" (which gives int64)');
  });

  it("list what has no derivative within", async () => {
    const noisy = (h: Value, next: Value): Node[] => {
      const noise = new Value("noise", null);
      return [
        new Node("RandomNormalLike", [h], [noise], {}, {}, "", "draw"),
        new Node("Mul", [h, noise], [next], {}, {}, "", "scale"),
      ];
    };
    const file = write("noise", looping(noisy));
    expect((await checkModel(file)).missing.map((m) => m.name)).to.deep.equal(["draw"]);
    const { source } = await loadSource(file, { loss });
    const recipe = { source, optimizer: compose("sam", "sgd"), groupedHyper: new Set<string>() };
    await rejects(() => gradientGraph(recipe), /RandomNormalLike "[^"]*draw"/);
  });
});
