import { expect } from "chai";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { int, ints, newModel, tensorType, type Graph, type Value } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { problems, verify } from "../../src/ir/verify.js";
import { cse } from "../../src/passes/cse.js";
import { dce, pruneTo } from "../../src/passes/dce.js";
import { fold } from "../../src/passes/fold.js";
import { shapesFromInputs } from "../../src/passes/shapes.js";
import { simplify } from "../../src/passes/simplify.js";
import { loadModel, parseModel, serializeModel } from "../../src/serde/index.js";
import { must } from "../../src/util/assert.js";
import { root } from "../support/root.js";
import { Sketch } from "./sketch.js";
import { backendData, casesOf } from "../support/backend.js";

const body = (build: (s: Sketch) => Value): Graph => {
  const s = new Sketch();
  s.graph.outputs.push(build(s));
  return s.graph;
};

describe("dce", () => {
  it("removes what reaches no output, and keeps captures", () => {
    const s = new Sketch();
    const [x, c] = [s.input("x"), s.input("c", [], "bool")];
    const used = s.constant("used", Tensor.of("float32", [2], [1, 2]));
    const unused = s.constant("unused", Tensor.of("float32", [2], [1, 2]));
    s.op("Add", [x, unused], "dead");
    const captured = s.op("Add", [x, used], "captured");
    const branch = body((inner) => {
      inner.op("Abs", [captured], "inner_dead");
      return inner.op("Neg", [captured], "t");
    });
    s.output(s.op("If", [c], "y", {}, { then_branch: branch, else_branch: body((i) => i.op("Abs", [x], "e")) }));
    expect(dce(s.graph)).to.deep.equal({ modified: true });
    verify(s.graph, "dce");
    expect(s.ops).to.deep.equal(["Add", "If"]);
    expect(Object.keys(s.constants)).to.deep.equal(["used"]);
    expect(branch.nodes.map((n) => n.op)).to.deep.equal(["Neg"]);
    expect(dce(s.graph)).to.deep.equal({ modified: false });
  });

  it("lets go of what only a dead branch captured", () => {
    const s = new Sketch();
    const [x, c] = [s.input("x"), s.input("c", [], "bool")];
    const h = s.op("Abs", [x], "h");
    const branch = body((inner) => {
      inner.op("Neg", [h], "dead");
      return inner.op("Neg", [x], "t");
    });
    s.output(s.op("If", [c], "y", {}, { then_branch: branch, else_branch: branch }));
    dce(s.graph);
    expect(s.ops).to.deep.equal(["If"]);
  });

  it("prunes to chosen outputs", () => {
    const s = new Sketch();
    const a = s.op("Abs", [s.input("x")], "a");
    s.output(s.op("Neg", [a], "b"));
    expect(pruneTo(s.graph, [a])).to.deep.equal({ modified: true });
    expect(s.ops).to.deep.equal(["Abs"]);
    expect(pruneTo(s.graph, [a])).to.deep.equal({ modified: false });
  });
});

describe("cse", () => {
  it("merges equal nodes and follows through bodies", () => {
    const s = new Sketch();
    const [x, c] = [s.input("x"), s.input("c", [], "bool")];
    const a = s.op("Softmax", [x], "a", { axis: int(-1) });
    const b = s.op("Softmax", [x], "b", { axis: int(-1) });
    const other = s.op("Softmax", [x], "other", { axis: int(0) });
    const [na, nb] = [s.op("Neg", [a], "na"), s.op("Neg", [b], "nb")];
    const branch = body((i) => i.op("Add", [nb, b], "t"));
    s.output(s.op("If", [c], "y", {}, { then_branch: branch, else_branch: body(() => na) }), other);
    expect(cse(s.graph).modified).to.equal(true);
    verify(s.graph, "cse");
    expect(s.ops).to.deep.equal(["Softmax", "Softmax", "Neg", "If"]);
    expect(branch.nodes[0]!.inputs).to.deep.equal([na, a]);
    expect(cse(s.graph).modified).to.equal(false);
  });

  it("never merges two parameters, two draws or two outputs", () => {
    const s = new Sketch();
    const x = s.input("x");
    const ones = (): Tensor => Tensor.of("float32", [2], [1, 1]);
    const [w, v] = [s.constant("w", ones()), s.constant("v", ones())];
    const draws = [s.op("RandomNormalLike", [x], "r1"), s.op("RandomNormalLike", [x], "r2")];
    s.output(
      s.op("Add", [x, w], "p"),
      s.op("Add", [x, v], "q"),
      s.op("Abs", [x], "o1"),
      s.op("Abs", [x], "o2"),
      ...draws,
    );
    expect(cse(s.graph).modified).to.equal(false);
  });

  it("keeps the name of an output", () => {
    const s = new Sketch();
    const x = s.input("x");
    const inner = s.op("Abs", [x], "inner");
    const y = s.op("Abs", [x], "y");
    s.output(y, s.op("Neg", [inner], "z"));
    cse(s.graph);
    verify(s.graph, "cse");
    expect(s.graph.outputs.map((v) => v.name)).to.deep.equal(["y", "z"]);
    expect(s.ops).to.deep.equal(["Abs", "Neg"]);
  });

  it("merges equal integer constants", () => {
    const s = new Sketch();
    const x = s.input("x", [4]);
    s.output(s.op("Reshape", [x, s.ints("a", [2, 2])], "p"), s.op("Reshape", [x, s.ints("b", [2, 2])], "q"));
    cse(s.graph);
    expect(Object.keys(s.constants)).to.deep.equal(["a"]);
  });
});

describe("fold", () => {
  it("follows the static half of a dynamic shape", () => {
    const s = new Sketch();
    const x = s.input("x", ["batch", 128, 64]);
    const shape = s.op("Shape", [x], "shape");
    const size = s.op("Gather", [shape, s.constant("two", Tensor.of("int64", [], [2]))], "size");
    const heads = s.op("Div", [size, s.constant("four", Tensor.of("int64", [], [4]))], "heads");
    const row = s.op("Unsqueeze", [heads, s.ints("zero", [0])], "row");
    const batch = s.op("Slice", [shape, s.ints("start", [0]), s.ints("end", [1])], "batch");
    const target = s.op("Concat", [batch, s.ints("rest", [-1]), row], "target", { axis: int(0) });
    s.output(s.op("Reshape", [x, target], "y"));
    expect(fold(s.graph).modified).to.equal(true);
    verify(s.graph, "fold");
    expect(s.ops).to.deep.equal(["Shape", "Slice", "Concat", "Reshape"]);
    expect(s.constants["row"]).to.deep.equal([16]);
    dce(s.graph);
    expect(Object.keys(s.constants).sort()).to.deep.equal(["end", "rest", "row", "start"]);
  });

  it("reads no floating-point initializer: it may be a parameter", () => {
    const s = new Sketch();
    const w = s.constant("w", Tensor.of("float32", [], [4]));
    s.output(s.op("Mul", [s.input("x"), s.op("Sqrt", [w], "root")], "y"));
    expect(fold(s.graph).modified).to.equal(false);
  });

  it("follows floats that come from integers and Constant nodes", () => {
    const s = new Sketch();
    const n = s.op("Gather", [s.op("Shape", [s.input("x", [2, 64])], "shape"), s.ints("one", [1])], "n");
    const root = s.op("Sqrt", [s.op("Cast", [n], "f", { to: int(1) })], "root");
    const half = s.op("Constant", [], "half", { value: { type: "tensor", value: Tensor.of("float32", [1], [0.5]) } });
    s.output(s.op("Mul", [s.graph.inputs[0]!, s.op("Mul", [root, half], "scale")], "y"));
    simplify(s.graph, verify);
    expect(s.ops).to.deep.equal(["Mul"]);
    expect(s.constants["scale"]).to.deep.equal([4]);
  });

  it("folds within bodies, from captured constants", () => {
    const s = new Sketch();
    const c = s.input("c", [], "bool");
    const a = s.op("Add", [s.ints("k", [1, 2]), s.ints("l", [10])], "a");
    const branch = body((i) => i.op("Tile", [i.op("Mul", [a, a], "m"), a], "t"));
    s.output(s.op("If", [c], "y", {}, { then_branch: branch, else_branch: branch }));
    simplify(s.graph, verify);
    expect([...branch.initializers.values()].map((t) => t.numbers())).to.deep.equal([[121, 144]]);
    expect([...branch.captures()].map((v) => v.name)).to.deep.equal(["a"]);
    expect(s.constants["a"]).to.deep.equal([11, 12]);
  });

  it("leaves inputs with defaults, outputs, big results and division by zero alone", () => {
    const s = new Sketch();
    const d = s.input("d", [1], "int64");
    s.graph.initializers.set(d, Tensor.int64s([3]));
    const two = s.ints("two", [2]);
    s.output(
      s.op("Add", [d, two], "default"),
      s.op("Add", [two, two], "out"),
      s.op("Neg", [s.op("Expand", [two, s.ints("big", [100, 100])], "huge")], "n"),
      s.op("Neg", [s.op("Div", [two, s.ints("zero", [0])], "inf")], "m"),
    );
    expect(fold(s.graph).modified).to.equal(false);
  });

  it("reduces integers", () => {
    const s = new Sketch();
    const m = s.constant("m", Tensor.of("int64", [2, 3], [1, 2, 3, 4, 5, 6]));
    s.output(
      s.op(
        "Use",
        [
          s.op("ReduceProd", [m, s.ints("last", [-1])], "rows", { keepdims: int(0) }),
          s.op("ReduceSum", [m, s.ints("first", [0])], "columns"),
          s.op("ReduceProd", [m], "all"),
        ],
        "y",
      ),
    );
    fold(s.graph);
    const shapes = new Map(Array.from(s.graph.initializers, ([v, t]) => [v.name, t.dims]));
    expect(["rows", "columns", "all"].map((name) => shapes.get(name))).to.deep.equal([[2], [1, 3], [1, 1]]);
    expect(s.constants["rows"]).to.deep.equal([6, 120]);
    expect(s.constants["columns"]).to.deep.equal([5, 7, 9]);
    expect(s.constants["all"]).to.deep.equal([720]);
  });

  it("wraps integers as the runtime does", () => {
    const s = new Sketch();
    const big = s.constant("big", Tensor.of("int32", [1], [2147483647]));
    const sum = s.op("Add", [big, s.constant("one", Tensor.of("int32", [1], [1]))], "sum");
    const end = new Tensor("int64", [1], { bytes: new Uint8Array(BigInt64Array.of(2n ** 63n - 1n).buffer) });
    const cut = s.op("Slice", [s.ints("v", [1, 2, 3]), s.ints("start", [1]), s.constant("end", end)], "cut");
    s.output(s.op("Identity2", [sum, cut], "y"));
    fold(s.graph);
    expect(s.constants["sum"]).to.deep.equal([-2147483648]);
    expect(s.constants["cut"]).to.deep.equal([2, 3]);
  });
});

describe("shapesFromInputs", () => {
  it("reads shapes off the inputs where types tell that they are equal", () => {
    const s = new Sketch();
    const x = s.input("x", ["batch", "sequence", 8]);
    const h = s.op("Relu", [x], "h");
    h.type = tensorType("float32", ["batch*sequence", 8]);
    const odd = s.op("NonZero", [h], "odd");
    odd.type = tensorType("int64", [2, "?9"]);
    const [a, b] = [s.op("Shape", [h], "a"), s.op("Shape", [h], "b")];
    const mine = s.op("Shape", [x], "mine");
    const unknown = s.op("Shape", [odd], "unknown");
    s.output(s.op("Use", [a, b, mine, unknown], "y"));
    expect(shapesFromInputs(s.graph)).to.deep.equal({ modified: true });
    verify(s.graph, "shapesFromInputs");
    const y = s.graph.outputs[0]!.producer!;
    expect(y.input(0)).to.equal(y.input(1));
    expect(y.inputs.slice(2)).to.deep.equal([mine, unknown]);
    dce(s.graph);
    expect(s.ops).to.deep.equal([
      "Shape",
      "Gather",
      "Gather",
      "Mul",
      "Concat",
      "Relu",
      "NonZero",
      "Shape",
      "Shape",
      "Use",
    ]);
    expect(shapesFromInputs(s.graph)).to.deep.equal({ modified: false });
  });

  it("gives its nodes names of their own in a graph that has been through it", () => {
    const s = new Sketch();
    const x = s.input("x", ["batch", 8]);
    const h = s.op("Relu", [x], "h");
    s.op("Abs", [x], "old");
    s.graph.nodes[1]!.name = "shapes/shapes/shape";
    s.output(s.op("Shape", [h], "y"));
    shapesFromInputs(s.graph);
    const names = s.graph.nodes.map((n) => n.name).filter((name) => name !== "");
    expect(names).to.have.lengthOf.above(1);
    expect(new Set(names).size).to.equal(names.length);
  });

  it("gives the shapes that were read before", async () => {
    const s = new Sketch();
    const x = s.input("x", ["n", "m"]);
    const t = s.op("Transpose", [x], "t");
    t.type = tensorType("float32", ["m", "n"]);
    const flat = s.op("Reshape", [t, s.ints("all", [-1])], "flat");
    flat.type = tensorType("float32", ["m*n"]);
    const shape = s.op("Concat", [s.op("Shape", [t], "p"), s.op("Shape", [flat], "q")], "y", { axis: int(0) });
    shape.type = tensorType("int64", [3]);
    s.output(shape);
    shapesFromInputs(s.graph);
    dce(s.graph);
    expect(s.ops).not.to.include("Transpose");
    const feed = new OrtTensor("float32", new Float32Array(6), [2, 3]);
    const session = await InferenceSession.create(serializeModel(newModel(s.graph)));
    const { y } = await session.run({ x: feed });
    await session.release();
    expect(Array.from(y!.data as BigInt64Array, Number)).to.deep.equal([3, 2, 6]);
  });
});

describe("simplify", () => {
  it("leaves the outputs of a real export as they are, bit by bit", async () => {
    const model = loadModel(join(root, "models", "roberta-mini", "model.onnx"));
    // Without its training_mode input: what dropout draws depends on where a node stands.
    for (const node of model.graph.nodes) if (node.op === "Dropout") node.inputs.splice(2);
    const ids = BigInt64Array.from({ length: 3 * 17 }, (_, i) => BigInt(4 + ((i * 37) % 200)));
    const mask = BigInt64Array.from({ length: 3 * 17 }, (_, i) => (i > 46 ? 0n : 1n));
    const run = async (): Promise<Record<string, OrtTensor["data"]>> => {
      const session = await InferenceSession.create(serializeModel(model), {
        graphOptimizationLevel: "disabled",
        logSeverityLevel: 3,
      });
      const feeds = {
        input_ids: new OrtTensor("int64", ids, [3, 17]),
        attention_mask: new OrtTensor("int64", mask, [3, 17]),
      };
      const results = await session.run(feeds);
      await session.release();
      return Object.fromEntries(Object.entries(results).map(([k, t]) => [k, t.data]));
    };
    const [before, nodes] = [await run(), model.graph.nodes.length];
    simplify(model.graph, verify);
    expect(model.graph.nodes.length).to.be.lessThan(0.7 * nodes);
    expect(await run()).to.deep.equal(before);
  });

  it("leaves every ONNX backend model sound", function () {
    this.timeout(60_000);
    const data = backendData();
    if (!data) {
      console.log("      skipped: ../shared/data/onnx is absent");
      return this.skip();
    }
    let modified = 0;
    for (const suite of ["node", "simple", "pytorch-converted", "pytorch-operator"]) {
      for (const folder of casesOf(data, suite)) {
        const { graph } = parseModel(readFileSync(join(folder, "model.onnx")), { folder });
        const names = graph.outputs.map((v) => v.name);
        const result = simplify(graph, (g, pass) =>
          expect(problems(g), `${basename(folder)} after ${pass}`).to.deep.equal([]),
        );
        if (result.modified) modified++;
        expect(graph.outputs.map((v) => v.name)).to.deep.equal(names);
      }
    }
    expect(modified).to.be.greaterThan(100);
  });

  it("empties a graph of constants down to its output", () => {
    const s = new Sketch();
    const r = s.op(
      "Range",
      ["a", "b", "c"].map((n, i) => s.constant(n, Tensor.of("int64", [], [[0], [6], [2]][i]!))),
      "r",
    );
    const t = s.op("Transpose", [s.op("Reshape", [r, s.ints("to", [1, 3])], "m")], "t", { perm: ints([1, 0]) });
    s.output(s.op("Cast", [t], "y", { to: int(1) }));
    simplify(s.graph, verify);
    expect(s.ops).to.deep.equal(["Cast"]);
    expect(must(s.graph.nodes[0], "the cast").input(0).shape).to.deep.equal([3, 1]);
  });
});
