import { expect } from "chai";
import { join } from "node:path";
import { auditScatters } from "../../src/frontend/scatters.js";
import { Graph, Node, Value, int, newModel, string, tensorType, type Attributes } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { checkModel } from "../../src/pack/check.js";
import { loadSource, loadTyped } from "../../src/pack/load.js";
import { saveModel } from "../../src/serde/index.js";
import type { DType } from "../../src/util/dtype.js";
import { rejects } from "../support/rejects.js";
import { temporaryFolder } from "../support/temp.js";

/** x [2, 3] times weight [3, 3]; `tail` makes the output of the product. */
function product(tail: (p: Value, graph: Graph) => Value): Graph {
  const graph = new Graph("g");
  const x = new Value("x", tensorType("float32", [2, 3]));
  const w = new Value("weight", tensorType("float32", [3, 3]));
  graph.inputs.push(x);
  graph.initializers.set(w, Tensor.of("float32", [3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9]));
  graph.outputs.push(tail(append(graph, "MatMul", "/product", [x, w]), graph));
  return graph;
}

function append(graph: Graph, op: string, name: string, inputs: Value[], attributes: Attributes = {}): Value {
  const output = new Value(`${name}_out`, null);
  graph.nodes.push(new Node(op, inputs, [output], attributes, {}, "", name));
  return output;
}

const codes = { float32: 1, string: 8, int64: 7 };
const cast = (graph: Graph, name: string, x: Value, to: keyof typeof codes): Value =>
  append(graph, "Cast", name, [x], { to: int(codes[to]) });

function constant(graph: Graph, name: string, dtype: DType, dims: number[], values: number[]): Value {
  const value = new Value(name, tensorType(dtype, dims));
  graph.initializers.set(value, Tensor.of(dtype, dims, values));
  return value;
}

describe("models that cannot be trained are refused in one line that names the node", () => {
  const folder = temporaryFolder();
  const save = (graph: Graph, opset = 18): string => {
    for (const output of graph.outputs) output.type ??= tensorType("float32", null);
    const file = join(folder.path, "model.onnx");
    saveModel(newModel(graph, opset, 8), file);
    return file;
  };
  const refused = (file: string, ...says: (string | RegExp)[]): Promise<void> =>
    rejects(() => loadSource(file, { loss: { kind: "mse" } }), ...says);

  for (const dtype of ["int64", "string"] as const) {
    it(`${dtype} logits, and a way through ${dtype}`, async () => {
      const logits = product((p, g) => cast(g, "/cast", p, dtype));
      logits.outputs[0]!.type = tensorType(dtype, [2, 3]);
      const file = save(logits);
      await refused(file, `output "/cast_out" of Cast "/cast" is ${dtype}; make an output of the logits`);
      expect((await checkModel(file)).ends).to.deep.equal([`Cast "/cast" (which gives ${dtype})`]);
      await refused(
        save(product((p, g) => cast(g, "/back", cast(g, "/cast", p, dtype), "float32"))),
        `no parameter can be trained: on the way to "/back_out" derivatives end at Cast "/cast" (which gives ${dtype})`,
      );
    });
  }

  it("a loss of integers", async () => {
    const graph = product((p, g) =>
      cast(g, "/cast", append(g, "ReduceSum", "/sum", [p], { keepdims: int(0) }), "int64"),
    );
    graph.outputs[0]!.type = tensorType("int64", []);
    const file = save(graph);
    await rejects(
      () => loadSource(file, { loss: { kind: "output", output: "/cast_out" } }),
      'output "/cast_out" of Cast "/cast" is int64; training needs float32 models',
    );
  });

  it("an operator of a domain that nobody knows, in a branch too", async () => {
    const graph = product((p, g) => append(g, "Magic", "/head/magic", [p]));
    graph.nodes.at(-1)!.domain = "acme.ai";
    await refused(save(graph), 'acme.ai::Magic "/head/magic": nothing is known of the domain "acme.ai"');
    const inner = branches((p, body) => append(body, "Magic", "/inner/magic", [p]));
    inner.nodes.at(-1)!.bodies["else_branch"]!.nodes[0]!.domain = "acme.ai";
    await refused(save(inner), 'acme.ai::Magic "/inner/magic"');
  });

  it("an operator that its domain does not have", () =>
    refused(save(product((p, g) => append(g, "Magic", "/head/magic", [p]))), "/head/magic", "Magic"));

  it("an opset from the future", () =>
    refused(
      save(
        product((p, g) => append(g, "Relu", "/relu", [p])),
        99,
      ),
      "opset 99; 6 to 28 can be read",
    ));

  /** If over the product: itself, or what `other` makes of it. */
  function branches(other: (p: Value, body: Graph) => Value): Graph {
    return product((p, g) => {
      const condition = new Value("condition", tensorType("bool", []));
      g.inputs.push(condition);
      const body = (name: string, fill: (p: Value, body: Graph) => Value): Graph => {
        const graph = new Graph(name);
        const output = fill(p, graph);
        output.type = tensorType("float32", null);
        graph.outputs.push(output);
        return graph;
      };
      const output = append(g, "If", "/choice", [condition]);
      g.nodes.at(-1)!.bodies = {
        then_branch: body("then", (x, b) => append(b, "Identity", "/same", [x])),
        else_branch: body("else", other),
      };
      return output;
    });
  }

  it("an If whose branches give different ranks", () =>
    refused(
      save(branches((p, body) => append(body, "ReduceSum", "/sum", [p], { keepdims: int(0) }))),
      'output "/choice_out": its rank is not known, since If "/choice" gives different ranks in its branches',
    ));

  /** The product's rows written into zeros at constant indices. */
  const scattered = (op: "ScatterND" | "ScatterElements", indices: number[], reduction: string): Graph =>
    product((p, g) => {
      const zeros = constant(g, "onnx::zeros", "float32", [4, 3], Array<number>(12).fill(0));
      const dims = op === "ScatterND" ? [2, 1] : [2, 3];
      const at = constant(g, "onnx::at", "int64", dims, indices);
      return append(g, op, "/scatter", [zeros, at, p], { reduction: string(reduction) });
    });

  it("a scatter that overwrites a place twice, and no other one", async () => {
    await refused(
      save(scattered("ScatterND", [1, 1], "none")),
      'ScatterND "/scatter": its indices name place [1] more',
    );
    // −1 is the last of four rows.
    await refused(save(scattered("ScatterND", [3, -1], "none")), "place [3] more than once");
    await refused(
      save(scattered("ScatterElements", [0, 1, 2, 2, 3, -2], "none")),
      'ScatterElements "/scatter": its indices name place [2, 2] more than once',
    );
    for (const graph of [
      scattered("ScatterND", [1, 2], "none"),
      scattered("ScatterElements", [0, 1, 2, 1, 2, 3], "none"),
      ...["add", "mul", "max", "min"].map((reduction) => scattered("ScatterND", [1, 1], reduction)),
    ]) {
      const { source } = await loadSource(save(graph), { loss: { kind: "mse" } });
      expect(source.parameters.map((p) => p.name)).to.deep.equal(["weight"]);
    }
  });

  it("a scatter at places that the inputs name is warned of, unless it adds", async () => {
    const fed = (reduction: string): Graph =>
      product((p, g) => {
        const zeros = constant(g, "onnx::zeros", "float32", [4, 3], Array<number>(12).fill(0));
        const at = new Value("at", tensorType("int64", [2, 1]));
        g.inputs.push(at);
        return append(g, "ScatterND", "/graph/scatter", [zeros, at, p], { reduction: string(reduction) });
      });
    const { model } = await loadTyped(save(fed("none")));
    const [warning] = auditScatters(model.graph);
    expect(warning?.nodes.map((n) => n.name)).to.deep.equal(["/graph/scatter"]);
    expect(warning?.message).to.match(/^1 scatter \(graph\) will overwrite places that the inputs name/);
    expect(auditScatters((await loadTyped(save(fed("add")))).model.graph)).to.deep.equal([]);
    expect(auditScatters((await loadTyped(save(scattered("ScatterND", [1, 2], "none")))).model.graph)).to.deep.equal(
      [],
    );
  });
});
