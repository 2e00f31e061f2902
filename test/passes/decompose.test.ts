import { expect } from "chai";
import { Graph, int, newModel, Node, tensorType, Value, type Model } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { loadTyped } from "../../src/pack/load.js";
import { serializeModel } from "../../src/serde/index.js";
import { uniform } from "../ops/check_sample.js";
import { array, type Array64 } from "../reference/array.js";
import { runOnce } from "../support/ort.js";
import { temporaryFolder } from "../support/temp.js";

const random = uniform("decompose");
const draw = (dims: number[]): Float64Array =>
  Float64Array.from({ length: dims.reduce((n, d) => n * d, 1) }, () => 2 * random() - 1);

/** y = SkipLayerNormalization(Attention(xW, xW, xW), x) with weights of its own, of a batch and a length that are not known. */
function fused(): Model {
  const graph = new Graph("fused");
  const x = new Value("x", tensorType("float32", ["batch", "length", 4]));
  graph.inputs = [x];
  const weight = (name: string, dims: number[]): Value => {
    const v = new Value(name, tensorType("float32", dims));
    graph.initializers.set(v, Tensor.of("float32", dims, draw(dims)));
    return v;
  };
  const [q, y, z] = [new Value("q", null), new Value("y", null), new Value("z", null)];
  graph.nodes = [
    new Node(
      "FusedMatMul",
      [x, weight("proj.weight", [4, 4])],
      [q],
      { transB: int(1) },
      {},
      "com.microsoft",
      "project",
    ),
    new Node(
      "Attention",
      [q, q, q],
      [y],
      { q_num_heads: int(2), kv_num_heads: int(2), is_causal: int(1) },
      {},
      "",
      "attend",
    ),
    new Node(
      "SkipLayerNormalization",
      [y, x, weight("norm.weight", [4]), weight("norm.bias", [4])],
      [z],
      {},
      {},
      "com.microsoft",
      "norm",
    ),
  ];
  graph.outputs = [z];
  z.type = tensorType("float32", ["batch", "length", 4]);
  const model = newModel(graph, 23);
  model.opsets.set("com.microsoft", 1);
  return model;
}

describe("operators written out", () => {
  const folder = temporaryFolder();

  it("compute what they did, at opset 21, in operators of ONNX", async () => {
    const model = fused();
    const bytes = serializeModel(model);
    const { model: typed } = await loadTyped(folder.write("model.onnx", bytes));
    expect(typed.opsets.get("")).to.equal(21);
    expect([...typed.opsets.keys()]).to.deep.equal([""]);
    expect(typed.graph.nodes.filter((n) => n.domain !== "" || n.op === "Attention")).to.deep.equal([]);
    expect([...typed.graph.initializers.keys()].map((v) => v.name)).to.include.members(["proj.weight", "norm.bias"]);
    const feeds: Record<string, Array64> = { x: array("float32", [2, 3, 4], draw([2, 3, 4])) };
    const [before, after] = [await runOnce(bytes, feeds), await runOnce(serializeModel(typed), feeds)];
    after.z!.data.forEach((v, i) => expect(v).to.be.closeTo(before.z!.data[i]!, 1e-5));
  });
});
