import { expect } from "chai";
import { float, Graph, int, ints, newModel, Node, string, tensorType, Value } from "../../src/ir/graph.js";
import { print, typeText } from "../../src/ir/print.js";
import { Tensor } from "../../src/ir/tensor.js";

function example(): Graph {
  const graph = new Graph("agraph");
  const x = new Value("x", tensorType("float32", ["N", 128, "?7"]));
  const w = new Value("enc.0/w", tensorType("float32", [3]));
  const big = new Value("big", tensorType("int64", [100]));
  const c = new Value("c", tensorType("bool", []));
  graph.inputs.push(x);
  graph.initializers.set(w, Tensor.of("float32", [3], [0.1, -0, Infinity]));
  graph.initializers.set(big, Tensor.int64s(Array<number>(100).fill(1)));
  graph.initializers.set(c, Tensor.of("bool", [], [1]));
  const h = new Value("h", tensorType("float32", null));
  const attributes = { alpha: float(1e-7), axes: ints([0, -1]), mode: string('a"b'), n: int(3) };
  graph.nodes.push(new Node("Foo", [x, null, w], [h, null], attributes, {}, "my.dom", "/layer/Foo"));
  const body = new Graph("then");
  const t = new Value("t", tensorType("float32", []));
  body.nodes.push(new Node("Neg", [h], [t]));
  body.outputs.push(t);
  const y = new Value("y", tensorType("float32", ["N"]));
  graph.nodes.push(new Node("If", [c], [y], {}, { then_branch: body }, "", "cond"));
  graph.outputs.push(y);
  return graph;
}

describe("print", () => {
  it("gives ONNX text syntax", () => {
    const model = newModel(example());
    model.functions.push({
      domain: "my.dom",
      name: "Foo",
      overload: "",
      body: new Graph("Foo"),
      attributes: ["alpha"],
      attributeDefaults: { beta: float(2) },
      opsets: new Map([["", 21]]),
      doc: "",
      metadata: new Map(),
    });
    expect(print(model)).to.equal(
      `<
   ir_version: 10,
   opset_import: ["" : 21],
   producer_name: "curvsam"
>
agraph (float[N,128,?] x) => (float[N] y)
   <float[3] "enc.0/w" = {0.1, -0, inf},
    int64[100] big = ["location": "omitted", "length": "800"],
    bool c = {1},
    float[] h>
{
   ["/layer/Foo"] h, "" = my.dom.Foo <alpha: float = 1e-7, axes: ints = [0, -1], mode: string = "a\\"b", n: int = 3> (x, "", "enc.0/w")
   [cond] y = If (c) <then_branch: graph = then () => (float t) {
      t = Neg (h)
   }>
}
<
  domain: "my.dom",
  opset_import: ["" : 21]
>
Foo <alpha, beta: float = 2>() => ()
{
}
`,
    );
  });

  it("leaves types and constants out where it is asked to", () => {
    const text = print(example(), { types: false, elements: 2 });
    expect(text).not.to.include("float[] h");
    expect(text).to.include('float[3] "enc.0/w" = ["location": "omitted", "length": "12"]');
  });

  it("names every kind of type", () => {
    const of = tensorType("float64", [2]);
    expect(typeText({ kind: "sequence", of })).to.equal("seq(double[2])");
    expect(typeText({ kind: "optional", of })).to.equal("optional(double[2])");
    expect(typeText({ kind: "map", key: "int64", of })).to.equal("map(int64, double[2])");
    expect(typeText({ kind: "sparse", dtype: "float16", shape: null })).to.equal("sparse_tensor(float16[])");
    expect(typeText({ kind: "opaque", domain: "d", name: "o" })).to.equal("opaque(d,o)");
    expect(typeText(tensorType("int8", []))).to.equal("int8");
  });
});
