import { expect } from "chai";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { int, ints, newModel, tensorType, type Value, type Graph } from "../../src/ir/graph.js";
import { Tensor as Constant } from "../../src/ir/tensor.js";
import { branchOnScalars } from "../../src/lower/choices.js";
import { shareGelus } from "../../src/lower/gelu.js";
import { dropKeepers } from "../../src/lower/keepers.js";
import { multiplyByMasks } from "../../src/lower/masks.js";
import { shareNormalizations } from "../../src/lower/norms.js";
import { fuseTransposes } from "../../src/lower/products.js";
import { sumRowsFirst } from "../../src/lower/sums.js";
import { dce } from "../../src/passes/dce.js";
import { foldGelu } from "../../src/passes/gelu.js";
import { serializeModel } from "../../src/serde/index.js";
import { Rng } from "../../src/util/rng.js";
import { sizeOf } from "../../src/util/shape.js";
import { Sketch } from "../support/sketch.js";

/** All outputs, as flat arrays, on inputs drawn from a fixed seed. */
async function run(graph: Graph): Promise<Record<string, number[]>> {
  const model = newModel(graph);
  model.opsets.set("com.microsoft", 1);
  const session = await InferenceSession.create(serializeModel(model), { logSeverityLevel: 3 });
  const rng = new Rng(1);
  const feeds = graph.inputs.map((v) => {
    const dims = v.dims.map(Number);
    const data = Float32Array.from({ length: sizeOf(dims) }, () => rng.uniform() - 0.5);
    return [v.name, v.dtype === "bool" ? new Tensor("bool", [true], []) : new Tensor("float32", data, dims)] as const;
  });
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, t]) => [name, Array.from(t.data as Float32Array, Number)]),
  );
}

function close(actual: Record<string, number[]>, expected: Record<string, number[]>): void {
  expect(Object.keys(actual).sort()).to.deep.equal(Object.keys(expected).sort());
  for (const [name, values] of Object.entries(expected)) {
    values.forEach((x, i) => expect(actual[name]![i], `${name}[${i}]`).to.be.closeTo(x, 1e-5));
  }
}

describe("forms of the CPU provider", () => {
  it("takes the new values of a step without the choice", async () => {
    const s = new Sketch();
    const [w, g, ok, one] = [s.input("w", [3]), s.input("g", [3]), s.input("ok", [], "bool"), s.input("one", [])];
    const other = s.input("other", [3]);
    const next = s.op("Sub", [w, g]);
    s.output(s.op("Where", [ok, next, w]), "next/w");
    // Not its own old value: another choice altogether.
    s.output(s.op("Where", [ok, s.op("Add", [w, g]), w]), "next/other");
    expect(other.name).to.equal("other");
    s.output(s.op("Sub", [one, s.op("Cast", [ok], { to: int(1) })]), "skipped");
    const before = await run(s.graph);
    expect(dropKeepers(s.graph).modified).to.equal(true);
    dce(s.graph);
    expect(s.count("Where")).to.equal(1);
    close(await run(s.graph), before);
    expect(dropKeepers(s.graph).modified).to.equal(false);
  });

  it("keeps choices that are not about the step", () => {
    const s = new Sketch();
    const [h, z, usable] = [s.input("h", [3]), s.input("z", [3]), s.input("usable", [], "bool")];
    s.output(s.op("Where", [usable, s.op("Abs", [z]), h]), "next/h");
    expect(dropKeepers(s.graph).modified).to.equal(false);
  });

  const swap = { perm: ints([1, 0]) };

  it("takes transposed operands within products, and turns a transposed product around", async () => {
    const s = new Sketch();
    const [x, y, w] = [s.input("x", [5, 3]), s.input("y", [5, 4]), s.input("w", [3, 4])];
    s.output(s.op("Transpose", [s.op("MatMul", [s.op("Transpose", [x], swap), y])], swap), "gradient");
    const shared = s.op("MatMul", [x, w]);
    s.output(s.op("Transpose", [shared], swap), "transposed");
    s.output(shared, "shared");
    const before = await run(s.graph);
    expect(fuseTransposes(s.graph).modified).to.equal(true);
    dce(s.graph);
    // A product that has another reader stays as it is.
    expect(s.count("Transpose")).to.equal(1);
    expect(s.graph.nodes.filter((n) => n.domain === "com.microsoft").map((n) => n.op)).to.deep.equal(["FusedMatMul"]);
    close(await run(s.graph), before);
  });

  it("moves heads once for a product and its derivative, rows whole", async () => {
    const s = new Sketch();
    const heads = (name: string) => s.input(name, [2, 5, 3, 4]);
    const moved = (v: Value, ...perm: number[]): Value => {
      const result = s.op("Transpose", [v], { perm: ints(perm) });
      result.type = tensorType(
        "float32",
        perm.map((p) => v.dims[p]!),
      );
      return result;
    };
    const product = (a: Value, b: Value, ...shape: number[]): Value => {
      const result = s.op("MatMul", [a, b]);
      result.type = tensorType("float32", shape);
      return result;
    };
    const [q, k, d] = [heads("q"), heads("k"), s.input("d", [2, 3, 5, 5])];
    s.output(product(moved(q, 0, 2, 1, 3), moved(k, 0, 2, 3, 1), 2, 3, 5, 5), "scores");
    s.output(product(d, moved(moved(k, 0, 2, 3, 1), 0, 1, 3, 2), 2, 3, 5, 4), "dq");
    s.output(moved(product(moved(q, 0, 2, 3, 1), d, 2, 3, 4, 5), 0, 3, 1, 2), "dk");
    const before = await run(s.graph);
    fuseTransposes(s.graph);
    dce(s.graph);
    const perms = s.graph.nodes.filter((n) => n.op === "Transpose").map((n) => n.ints("perm")!.join());
    expect(new Set(perms)).to.deep.equal(new Set(["0,2,1,3"]));
    close(await run(s.graph), before);
  });

  it("takes mean and deviation from the layer normalization, of the same ε only", async () => {
    for (const [epsilon, left] of [
      [1e-5, 0],
      [1e-3, 2],
    ] as const) {
      const s = new Sketch();
      const [x, scale, bias] = [s.input("x", [2, 4]), s.input("scale", [4]), s.input("bias", [4])];
      const axes = s.constant(Constant.int64s([-1]));
      s.output(s.op("LayerNormalization", [x, scale, bias]), "y");
      const centered = s.op("Sub", [x, s.op("ReduceMean", [x, axes])]);
      const variance = s.op("ReduceMean", [s.op("Mul", [centered, centered]), axes]);
      const shifted = s.op("Add", [variance, s.constant(Constant.of("float32", [], [epsilon]))]);
      s.output(s.op("Mul", [centered, s.op("Reciprocal", [s.op("Sqrt", [shifted])])]), "normalized");
      const before = await run(s.graph);
      shareNormalizations(s.graph);
      dce(s.graph);
      expect(s.count("ReduceMean")).to.equal(left);
      close(await run(s.graph), before);
    }
  });

  for (const order of ["half last", "half first", "half of the sum"] as const) {
    it(`knows an exported GELU, ${order}, and shares its parts with the derivative`, async () => {
      const s = new Sketch();
      const scalar = (v: number): Value => s.constant(Constant.of("float32", [], [v]));
      const x = s.input("x", [3, 4]);
      const erf = s.op("Erf", [s.op("Div", [x, scalar(Math.SQRT2)])]);
      const sum = s.op("Add", [erf, scalar(1)]);
      const half = scalar(0.5);
      const y = {
        "half last": () => s.op("Mul", [s.op("Mul", [x, sum]), half]),
        "half first": () => s.op("Mul", [s.op("Mul", [half, x]), sum]),
        "half of the sum": () => s.op("Mul", [x, s.op("Mul", [sum, half])]),
      }[order]();
      s.output(y, "y");
      const before = await run(s.graph);
      expect(foldGelu(s.graph).modified).to.equal(true);
      dce(s.graph);
      expect(s.graph.nodes.map((n) => n.op)).to.deep.equal(["Gelu"]);
      close(await run(s.graph), before);
      // What the rule of Gelu emits for Φ(x).
      const cdf = s.op("Erf", [s.op("Mul", [x, scalar(Math.SQRT1_2)])]);
      s.output(s.op("Add", [s.op("Mul", [cdf, scalar(0.5)]), scalar(0.5)]), "probability");
      const shared = await run(s.graph);
      expect(shareGelus(s.graph).modified).to.equal(true);
      expect(s.count("Gelu")).to.equal(0);
      expect(s.count("Erf")).to.equal(1);
      close(await run(s.graph), shared);
    });
  }

  it("leaves what only looks like a GELU", () => {
    for (const [divisor, one, half] of [
      [1.5, 1, 0.5],
      [Math.SQRT2, 2, 0.5],
      [Math.SQRT2, 1, 0.25],
    ] as const) {
      const s = new Sketch();
      const scalar = (v: number): Value => s.constant(Constant.of("float32", [], [v]));
      const x = s.input("x", [3, 4]);
      const sum = s.op("Add", [s.op("Erf", [s.op("Div", [x, scalar(divisor)])]), scalar(one)]);
      s.output(s.op("Mul", [s.op("Mul", [x, sum]), scalar(half)]), "y");
      expect(foldGelu(s.graph).modified).to.equal(false);
    }
  });
});

describe("sums over the first axes", () => {
  it("are taken in two, with the axes kept or not", async () => {
    const s = new Sketch();
    const x = s.input("x", [3, 4, 2, 5]);
    s.output(s.op("ReduceSum", [x, s.constant(Constant.int64s([0, 1]))], { keepdims: int(0) }), "bias");
    s.output(s.op("ReduceSum", [x, s.constant(Constant.int64s([0, 1, 2]))]), "kept");
    const before = await run(s.graph);
    expect(sumRowsFirst(s.graph).modified).to.equal(true);
    expect(s.count("ReduceSum")).to.equal(4);
    close(await run(s.graph), before);
  });

  it("stay where they are over one axis, over all, or over others", () => {
    const s = new Sketch();
    const x = s.input("x", [3, 4, 5]);
    for (const axes of [[0], [0, 1, 2], [1, 2], [0, 2]]) s.op("ReduceSum", [x, s.constant(Constant.int64s(axes))]);
    s.op("ReduceSum", [x]);
    expect(sumRowsFirst(s.graph).modified).to.equal(false);
  });
});

describe("masks of ReLUs", () => {
  const masked = (s: Sketch, threshold: number, shape: readonly number[]): Value => {
    const scalar = (v: number): Value => s.constant(Constant.of("float32", [], [v]));
    const x = s.input("x", [4, 5]);
    const relu = s.op("Relu", [x]);
    relu.type = x.type;
    const isOn = s.op("Greater", [relu, scalar(threshold)]);
    isOn.type = tensorType("bool", [4, 5]);
    return s.op("Where", [isOn, s.input("d", shape), scalar(0)]);
  };

  it("are multiplied by, with the same values at the kink and by it", async () => {
    const s = new Sketch();
    s.output(masked(s, 0, [4, 5]), "dx");
    const before = await run(s.graph);
    expect(before["dx"]!.some((v) => v === 0) && before["dx"]!.some((v) => v !== 0)).to.equal(true);
    expect(multiplyByMasks(s.graph).modified).to.equal(true);
    dce(s.graph);
    expect([s.count("Where"), s.count("Greater")]).to.deep.equal([0, 0]);
    close(await run(s.graph), before);
    const x = s.graph.inputs[0]!;
    const smallest = 2 ** -126;
    const mask = new Sketch();
    mask.graph.inputs.push(x);
    const hard = s.graph.nodes.find((n) => n.op === "HardSigmoid")!;
    mask.output(mask.op("HardSigmoid", [x], hard.attributes), "mask");
    const session = await InferenceSession.create(serializeModel(newModel(mask.graph)), { logSeverityLevel: 3 });
    const values = Float32Array.from([0, -0, smallest, 1e-30, 1, 3e38, -1e-30, -1]);
    const feed = Float32Array.from({ length: 20 }, (_, i) => values[i % 8]!);
    const { mask: made } = await session.run({ x: new Tensor("float32", feed, [4, 5]) });
    await session.release();
    expect(Array.from((made!.data as Float32Array).slice(0, 8), (v) => v + 0)).to.deep.equal([0, 0, 1, 1, 1, 1, 0, 0]);
  });

  it("stay choices with another threshold, or where a shape broadcasts", () => {
    for (const [threshold, shape] of [
      [0.5, [4, 5]],
      [0, [1, 5]],
    ] as const) {
      const s = new Sketch();
      s.output(masked(s, threshold, shape), "dx");
      expect(multiplyByMasks(s.graph).modified).to.equal(false);
    }
  });
});

describe("choices by a scalar", () => {
  it("are branches where one scalar chooses between large tensors of one shape, with the same values", async () => {
    const sketch = new Sketch();
    const [yes, x, y] = [sketch.input("yes", [], "bool"), sketch.input("x", [64, 64]), sketch.input("y", [64, 64])];
    const no = sketch.op("Not", [yes]);
    no.type = tensorType("bool", []);
    const sum = sketch.op("Add", [x, y]);
    sum.type = tensorType("float32", [64, 64]);
    sketch.output(sketch.op("Where", [yes, sum, y]), "a");
    sketch.output(sketch.op("Where", [no, x, y]), "b");
    const before = await run(sketch.graph);
    expect(branchOnScalars(sketch.graph).modified).to.equal(true);
    expect([sketch.count("Where"), sketch.count("If")]).to.deep.equal([0, 2]);
    expect(await run(sketch.graph)).to.deep.equal(before);
  });

  it("take in what makes a branch for them alone", async () => {
    const sketch = new Sketch();
    const [yes, x, y] = [sketch.input("yes", [], "bool"), sketch.input("x", [64, 64]), sketch.input("y", [64, 64])];
    const [sum, shared] = ["Add", "Mul"].map((op) => sketch.op(op, [x, y], {}, [64, 64])) as [Value, Value];
    sketch.output(sketch.op("Where", [yes, sum, shared]), "a");
    sketch.output(sketch.op("Neg", [shared]), "b");
    const before = await run(sketch.graph);
    branchOnScalars(sketch.graph);
    expect(["Add", "Mul", "If"].map((op) => sketch.count(op))).to.deep.equal([0, 1, 1]);
    expect(await run(sketch.graph)).to.deep.equal(before);
  });

  it("stay where the condition or a branch has another shape, and where there is little to gain", () => {
    const sketch = new Sketch();
    const flag = sketch.input("flag", [], "bool");
    const [x, row, few] = [sketch.input("x", [64, 64]), sketch.input("row", [64]), sketch.input("few", [8])];
    sketch.op("Where", [sketch.input("mask", [64, 64], "bool"), x, x]);
    sketch.op("Where", [flag, x, row]);
    sketch.op("Where", [flag, few, few]);
    expect(branchOnScalars(sketch.graph).modified).to.equal(false);
  });
});
