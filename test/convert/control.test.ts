import { expect } from "chai";
import { checkControl, collectSequences, liftConstants, timeFirst } from "../../src/convert/index.js";
import { Graph, Node, Value, int, newModel, string, tensorType, type Model, type Type } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { verify } from "../../src/ir/verify.js";
import { serializeModel } from "../../src/serde/index.js";
import { array } from "../reference/array.js";
import { outputsOf } from "../reference/evaluate.js";
import { runOnce } from "../support/ort.js";
import { rejects } from "../support/rejects.js";

const float = (...shape: (number | string)[]): Type => tensorType("float32", shape);
const value = (name: string, type: Type | null = null): Value => new Value(name, type);

/** A graph of nodes, given as [op, inputs, output]. */
function body(
  name: string,
  inputs: Value[],
  outputs: Value[],
  nodes: Node[],
  constants: [Value, Tensor][] = [],
): Graph {
  const graph = new Graph(name);
  graph.inputs = inputs;
  graph.outputs = outputs;
  graph.nodes = nodes;
  graph.initializers = new Map(constants);
  return graph;
}

const node = (op: string, inputs: (Value | null)[], output: Value, attributes = {}): Node =>
  new Node(op, inputs, [output], attributes, {}, "", `${op} of ${output.name}`);

/** A Loop over one carry; `inputs` are its trip count and condition, `ends` whether its body can end it. */
function loop(inputs: (Value | null)[], ends: boolean): Graph {
  const [x, y, i, going, s, next, after] = ["x", "y", "i", "going", "s", "next", "after"].map((n) => value(n)) as [
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
  ];
  x.type = float(2);
  const condition = ends ? node("Not", [going], after) : node("Identity", [going], after);
  const inner = body("body", [i, going, s], [after, next], [condition, node("Tanh", [s], next)]);
  const made = new Node("Loop", [...inputs, x], [y], {}, { body: inner }, "", "over");
  return body("g", [x, ...inputs.filter((v) => v !== null)], [y], [made]);
}

function branches(dtypes: readonly [Type, Type], counts: readonly [number, number]): Graph {
  const condition = value("c", tensorType("bool", []));
  const branch = (name: string, k: 0 | 1): Graph => {
    const x = value(`${name}_x`, dtypes[k]);
    const outputs = Array.from({ length: counts[k] }, (_, n) => value(`${name}_${n}`, dtypes[k]));
    return body(
      name,
      [],
      outputs,
      outputs.map((o) => node("Identity", [x], o)),
      [[x, Tensor.of("float32", [1], [1])]],
    );
  };
  const made = new Node(
    "If",
    [condition],
    [value("y")],
    {},
    { then_branch: branch("then", 0), else_branch: branch("else", 1) },
    "",
    "choose",
  );
  return body("g", [condition], made.outputs as Value[], [made]);
}

describe("convert: nodes with bodies that cannot be run are refused by name", () => {
  it("an If whose branches give different numbers of outputs", () =>
    rejects(() => checkControl(branches([float(1), float(1)], [1, 2])), 'If "choose": then_branch gives 1 output'));

  it("an If whose branches give different types", () =>
    rejects(
      () => checkControl(branches([float(1), tensorType("int64", [1])], [1, 1])),
      'If "choose": output 0 is float32 in then_branch',
      "int64 in else_branch",
    ));

  it("a Loop that nothing ends", async () => {
    const condition = value("going0", tensorType("bool", []));
    await rejects(() => checkControl(loop([null, null], true)), 'Loop "over" has neither a trip count nor a condition');
    await rejects(() => checkControl(loop([null, null], false)), 'Loop "over"');
    checkControl(loop([value("n", tensorType("int64", [])), null], false));
    checkControl(loop([null, condition], true));
  });

  it("a Loop whose body does not fit", () => {
    const graph = loop([value("n", tensorType("int64", [])), null], false);
    graph.nodes[0]!.bodies["body"]!.inputs.pop();
    return rejects(() => checkControl(graph), 'Loop "over": its body has 2 inputs');
  });
});

/** h = tanh(h + x[i]), the states in a list that `reader` makes a tensor of. */
function listed(reader: (list: Value, y: Value, graph: Graph) => Node[]): Model {
  const v = (name: string, type: Type | null = null): Value => value(name, type);
  const [x, h0, y, list, empty, unused] = [
    v("x", float(3, 2)),
    v("h0", float(2)),
    v("y"),
    v("list"),
    v("empty"),
    v("hT"),
  ];
  const [i, going, h, s, row, sum, next, after, more] = [
    ...["i", "going", "h", "s", "row", "sum", "next", "after", "more"].map((n) => v(n)),
  ] as [Value, Value, Value, Value, Value, Value, Value, Value, Value];
  next.type = float(2);
  i.type = tensorType("int64", []);
  going.type = tensorType("bool", []);
  const inner = body(
    "body",
    [i, going, h, s],
    [after, next, more],
    [
      node("Identity", [going], after),
      node("Gather", [x, i], row),
      node("Add", [h, row], sum),
      node("Tanh", [sum], next),
      node("SequenceInsert", [s, next], more),
    ],
  );
  const trips = v("trips", tensorType("int64", []));
  const graph = body("g", [x, h0], [y], [], [[trips, Tensor.of("int64", [], [3])]]);
  graph.nodes = [
    node("SequenceEmpty", [], empty),
    new Node("Loop", [trips, null, h0, empty], [unused, list], {}, { body: inner }, "", "over"),
    ...reader(list, y, graph),
  ];
  y.type = tensorType("float32", null);
  return newModel(graph);
}

describe("convert: lists become tensors", () => {
  const feeds = {
    x: array("float32", [3, 2], [0.1, -0.4, 0.7, 0.2, -0.3, 0.5]),
    h0: array("float32", [2], [0.3, -0.2]),
  };
  const constant = (graph: Graph, name: string, n: number): Value => {
    const c = value(name, tensorType("int64", []));
    graph.initializers.set(c, Tensor.of("int64", [], [n]));
    return c;
  };
  const readers: Record<string, (list: Value, y: Value, graph: Graph) => Node[]> = {
    stacked: (list, y) => [node("ConcatFromSequence", [list], y, { axis: int(0), new_axis: int(1) })],
    "stacked along the last axis": (list, y) => [
      node("ConcatFromSequence", [list], y, { axis: int(-1), new_axis: int(1) }),
    ],
    concatenated: (list, y) => [node("ConcatFromSequence", [list], y, { axis: int(0) })],
    "read at an index": (list, y, graph) => [node("SequenceAt", [list, constant(graph, "at", -2)], y)],
    counted: (list, y) => {
      const n = value("count");
      return [node("SequenceLength", [list], n), node("Cast", [n], y, { to: int(1) })];
    },
  };
  for (const [name, reader] of Object.entries(readers))
    it(`a list that a Loop appends to, ${name}`, async () => {
      const before = await runOnce(serializeModel(listed(reader)), feeds);
      const model = listed(reader);
      collectSequences(model);
      verify(model, "collectSequences");
      expect(model.graph.nodes.map((n) => n.op).join()).to.not.match(/(SequenceAt|FromSequence|SequenceLength)/);
      expect(model.graph.nodes.find((n) => n.op === "Loop")!.inputs.length).to.equal(3);
      const after = await runOnce(serializeModel(model), feeds);
      expect(after).to.deep.equal(before);
    });

  for (const keepdims of [0, 1])
    it(`the elements of a tensor, read at any index, keepdims ${keepdims}`, async () => {
      const make = (): Model => {
        const [x, at, pieces, y] = [
          value("x", float(3, 2)),
          value("at", tensorType("int64", [])),
          value("s"),
          value("y"),
        ];
        y.type = tensorType("float32", null);
        return newModel(
          body(
            "g",
            [x, at],
            [y],
            [
              node("SplitToSequence", [x], pieces, { axis: int(1), keepdims: int(keepdims) }),
              node("SequenceAt", [pieces, at], y),
            ],
          ),
        );
      };
      const given = { x: feeds.x, at: array("int64", [], [1]) };
      const before = await runOnce(serializeModel(make()), given);
      const model = make();
      collectSequences(model);
      verify(model, "collectSequences");
      expect(model.graph.nodes[0]!.op).to.equal("Gather");
      expect(await runOnce(serializeModel(model), given)).to.deep.equal(before);
    });
});

describe("convert: recurrent layers are time first", () => {
  for (const op of ["RNN", "GRU", "LSTM"])
    it(op, () => {
      const gates = { RNN: 1, GRU: 3, LSTM: 4 }[op]!;
      const shapes: Record<string, number[]> = {
        x: [2, 3, 2],
        w: [2, gates * 2, 2],
        r: [2, gates * 2, 2],
        h: [2, 2, 2],
      };
      const make = (): Model => {
        const inputs = Object.entries(shapes).map(([n, dims]) => value(n, float(...dims)));
        const outputs = ["y", "yh", ...(op === "LSTM" ? ["yc"] : [])].map((n) => value(n, tensorType("float32", null)));
        const [x, w, r, h] = inputs;
        const attributes = { hidden_size: int(2), direction: string("bidirectional"), layout: int(1) };
        return newModel(
          body("g", inputs, outputs, [
            new Node(op, [x!, w!, r!, null, null, h!], outputs, attributes, {}, "", "layer"),
          ]),
        );
      };
      const feeds = Object.fromEntries(
        Object.entries(shapes).map(([n, dims], k) => [
          n,
          array(
            "float32",
            dims,
            Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, j) => Math.sin(3 * j + k)),
          ),
        ]),
      );
      const before = outputsOf(make().graph, feeds);
      const model = make();
      timeFirst(model);
      verify(model, "timeFirst");
      expect(outputsOf(model.graph, feeds)).to.deep.equal(before);
      expect(model.graph.nodes.find((n) => n.op === op)!.int("layout")).to.equal(0);
    });
});

describe("convert: constants of bodies can be parameters", () => {
  it("they move to the model's graph, under names that nothing else has", () => {
    const model = newModel(branches([float(1), float(1)], [1, 1]));
    const weight = [...model.graph.nodes[0]!.bodies["then_branch"]!.initializers.keys()][0]!;
    weight.name = "else_x";
    liftConstants(model);
    verify(model, "liftConstants");
    expect([...model.graph.initializers.keys()].map((v) => v.name)).to.deep.equal(["else_x_1", "else_x"]);
  });
});
