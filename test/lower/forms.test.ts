import { expect } from "chai";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { int, ints, newModel, tensorType, Node, Value, Graph, type Attributes } from "../../src/ir/graph.js";
import { Tensor as Constant } from "../../src/ir/tensor.js";
import { dropKeepers } from "../../src/lower/keepers.js";
import { shareNormalizations } from "../../src/lower/norms.js";
import { transposeOperands } from "../../src/lower/products.js";
import { dce } from "../../src/passes/dce.js";
import { serializeModel } from "../../src/serde/index.js";
import { Rng } from "../../src/util/rng.js";
import { sizeOf } from "../../src/util/shape.js";

/** A graph to put together by hand. */
class Sketch {
  readonly graph = new Graph("sketch");
  input(name: string, shape: readonly number[], dtype: "float32" | "bool" = "float32"): Value {
    const value = new Value(name, tensorType(dtype, shape));
    this.graph.inputs.push(value);
    return value;
  }
  constant(tensor: Constant): Value {
    const value = new Value(`constant_${this.graph.initializers.size}`, tensorType(tensor.dtype, tensor.dims));
    this.graph.initializers.set(value, tensor);
    return value;
  }
  op(op: string, inputs: Value[], attributes: Attributes = {}): Value {
    const name = `${op}_${this.graph.nodes.length}`;
    const output = new Value(name, null);
    this.graph.nodes.push(new Node(op, inputs, [output], attributes, {}, "", name));
    return output;
  }
  output(value: Value, name: string): void {
    value.name = name;
    value.type ??= tensorType("float32", null);
    this.graph.outputs.push(value);
  }
  count(op: string): number {
    return this.graph.nodes.filter((n) => n.op === op).length;
  }
}

/** All outputs, as flat arrays, on inputs drawn from a fixed seed. */
async function run(graph: Graph): Promise<Record<string, number[]>> {
  const session = await InferenceSession.create(serializeModel(newModel(graph)), { logSeverityLevel: 3 });
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

  it("transposes operands instead of a product", async () => {
    const s = new Sketch();
    const [x, y, w] = [s.input("x", [5, 3]), s.input("y", [5, 4]), s.input("w", [3, 4])];
    const swap = { perm: ints([1, 0]) };
    s.output(s.op("Transpose", [s.op("MatMul", [s.op("Transpose", [x], swap), y])], swap), "gradient");
    const shared = s.op("MatMul", [x, w]);
    s.output(s.op("Transpose", [shared], swap), "transposed");
    s.output(shared, "shared");
    const before = await run(s.graph);
    transposeOperands(s.graph);
    dce(s.graph);
    // x need not be transposed any more, y must be; a product that has another reader stays as it is.
    expect(s.count("Transpose")).to.equal(2);
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
});
