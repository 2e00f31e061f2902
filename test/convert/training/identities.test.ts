import { expect } from "chai";
import { float, int, ints, string, tensorType, type Attributes, type Value } from "../../../src/ir/graph.js";
import { rejects } from "../../support/rejects.js";
import { runGraph } from "../../support/run_graph.js";
import { modelOf, type Case, type Sketch } from "./cases.js";
import { lowered } from "./lower.js";

const shape = [2, 3] as const;

/** ⟨x, y⟩. */
const inner = (s: Sketch, x: Value, y: Value): Value =>
  s.standard("ReduceSum", s.standard("Mul", [x, y]), { keepdims: int(0) })[0]!;

const scaled = (s: Sketch, x: Value, by: number): Value => s.standard("Mul", [x, s.constant("float32", [], [by])])[0]!;

const sum = (s: Sketch, x: Value, y: Value): Value => s.standard("Add", [x, y])[0]!;

const mask = (s: Sketch): [ratio: Value, mode: Value] => [
  s.constant("float32", [], [0.4]),
  s.constant("bool", [], [1]),
];

/** Operators without a kernel in that build, or with a broken one: outputs 2k and 2k + 1 must be equal. */
const identities: Readonly<Record<string, Case>> = {
  "GatherNDGrad is the adjoint of GatherND": (s) => {
    const [x, dy, ids] = [s.x([2, 3, 2]), s.x([2, 2, 2]), s.ids([2, 2, 1], [1, 1, 0, 2])];
    const batch = { batch_dims: int(1) };
    const [dx] = s.op("GatherNDGrad", [s.standard("Shape", [x])[0]!, ids, dy], batch);
    return [inner(s, dx!, x), inner(s, dy, s.standard("GatherND", [x, ids], batch)[0]!)];
  },
  "ConvTransposeGrad is the adjoint of ConvTranspose, in input, kernel and bias": (s) => {
    const attributes: Attributes = {
      kernel_shape: ints([3, 2]),
      strides: ints([2, 1]),
      pads: ints([1, 0, 0, 1]),
      group: int(2),
    };
    const [x, w, dy] = [s.x([2, 4, 3, 3]), s.x([4, 3, 3, 2]), s.x([2, 6, 6, 3])];
    const grads = s.op("ConvTransposeGrad", [dy, x, w], attributes, 3);
    const product = inner(s, dy, s.standard("ConvTranspose", [x, w], attributes)[0]!);
    const bias = s.standard("ReduceSum", [dy, s.constant("int64", [3], [0, 2, 3])], { keepdims: int(0) })[0]!;
    return [inner(s, grads[0]!, x), product, inner(s, grads[1]!, w), product, grads[2]!, bias];
  },
  "ResizeGrad is the adjoint of Resize": (s) => {
    const attributes: Attributes = { mode: string("linear"), coordinate_transformation_mode: string("half_pixel") };
    const scales = s.constant("float32", [4], [1, 1, 2, 1.5]);
    const [x, dy] = [s.x([1, 2, 3, 4]), s.x([1, 2, 6, 6])];
    const [dx] = s.op("ResizeGrad", [dy, x, null, scales], attributes);
    return [inner(s, dx!, x), inner(s, dy, s.standard("Resize", [x, null, scales], attributes)[0]!)];
  },
  "ScaledSum sums scaled inputs": (s) => {
    const [x, y, z] = [s.x(shape), s.x(shape), s.x(shape)];
    const attributes = { scale_0: float(0.5), scale_1: float(2), scale_2: float(-1) };
    const expected = sum(s, sum(s, scaled(s, x, 0.5), scaled(s, y, 2)), scaled(s, z, -1));
    return [s.op("ScaledSum", [x, y, z], attributes)[0]!, expected];
  },
  "BatchScale scales its input several times": (s) => {
    const x = s.x(shape);
    const [a, b] = s.op("BatchScale", [x], { scale_0: float(0.5), scale_1: float(3) }, 2);
    return [a!, scaled(s, x, 0.5), b!, scaled(s, x, 3)];
  },
  "SoftmaxCrossEntropyGrad is that of targets by class": (s) => {
    const [dl, target] = [s.x([]), s.x(shape)];
    const [logp] = s.standard("LogSoftmax", [s.x(shape)], { axis: int(1) });
    const difference = s.standard("Sub", [s.standard("Exp", [logp!])[0]!, target])[0]!;
    const product = s.standard("Mul", [difference, dl])[0]!;
    return [
      s.op("SoftmaxCrossEntropyGrad", [dl, logp!, target], { reduction: string("mean") })[0]!,
      scaled(s, product, 1 / 2),
      s.op("SoftmaxCrossEntropyGrad", [dl, logp!, target], { reduction: string("sum") })[0]!,
      product,
    ];
  },
  "BitmaskDropoutGrad goes by the mask of BitmaskDropout": (s) => {
    const x = s.x([8, 8]);
    const settings = mask(s);
    const [y, bits] = s.op("BitmaskDropout", [x, ...settings], {}, 2);
    return [y!, s.op("BitmaskDropoutGrad", [x, bits!, ...settings])[0]!];
  },
  "BiasDropout and BitmaskBiasDropout add a bias before and a residual after": (s) =>
    (["Dropout", "BitmaskDropout"] as const).flatMap((op) => {
      const [x, bias, residual] = [s.x([8, 8]), s.x([8]), s.x([8, 8])];
      const settings = mask(s);
      const [y, bits] = s.op(
        op === "Dropout" ? "BiasDropout" : "BitmaskBiasDropout",
        [x, bias, residual, ...settings],
        {},
        2,
      );
      const [dropped] = s.op(`${op}Grad`, [sum(s, x, bias), bits!, ...settings]);
      return [y!, sum(s, residual, dropped!)];
    }),
  "ShrunkenGather is Gather": (s) => {
    const [x, ids] = [s.x([4, 2]), s.ids([3], [3, 0, 3])];
    return [
      s.op("ShrunkenGather", [x, ids], { axis: int(0) })[0]!,
      s.standard("Gather", [x, ids], { axis: int(0) })[0]!,
    ];
  },
  "PassThrough hands on": (s) => {
    const x = s.x(shape);
    return [s.op("PassThrough", [x])[0]!, x];
  },
  "YieldOp begins the gradient of a loss with 1": (s) => {
    const loss = s.standard("ReduceMean", [s.x(shape)], { keepdims: int(0) })[0]!;
    return [s.op("YieldOp", [loss])[0]!, s.constant("float32", [], [1])];
  },
};

describe("training operators without a kernel to hold them to", () => {
  for (const name of Object.keys(identities)) {
    it(name, async () => {
      const { feeds } = modelOf([name], identities);
      const graph = await lowered([name], identities);
      for (const node of graph.nodes) expect(node.domain, node.label).to.equal("");
      const got = await runGraph(graph, feeds);
      expect(got.size % 2).to.equal(0);
      for (let i = 0; i < got.size; i += 2) {
        const [a, b] = [got.get(`${name}/${i}`)!, got.get(`${name}/${i + 1}`)!];
        expect(a.length).to.equal(b.length);
        a.forEach((x, k) => expect(x, `output ${i}, element ${k}`).to.be.closeTo(b[k]!, 1e-5));
        expect(a.some((x) => Math.abs(x) > 1e-3)).to.equal(true);
      }
    });
  }

  it("Group only says that its inputs are done", async () => {
    const group: Case = (s) => s.op("Group", [s.x(shape)]);
    const got = await runGraph(await lowered(["group"], { group }), modelOf(["group"], { group }).feeds);
    expect([...got.get("group/0")!]).to.deep.equal([1]);
  });

  it("YieldOp of what is no loss is refused", async () => {
    const wide: Case = (s) => {
      const [g] = s.op("YieldOp", [s.x(shape)]);
      g!.type = tensorType("float32", shape);
      return [g!];
    };
    await rejects(() => lowered(["wide"], { wide }), /YieldOp "wide\/YieldOp\d+": it waits for cotangents of outputs/);
  });

  it("a dropout whose ratio is computed is refused", async () => {
    const ratio: Case = (s) => s.op("DropoutGrad", [s.x(shape), s.flags(shape, [1, 0, 1, 1, 0, 1]), s.x([], 0, 0.5)]);
    await rejects(
      () => lowered(["ratio"], { ratio }),
      /DropoutGrad "ratio\/DropoutGrad\d+": its ratio or its mode is no constant/,
    );
  });
});
