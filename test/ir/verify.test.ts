import { expect } from "chai";
import { Graph, newModel, Node, tensorType, Value } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { problems, verify } from "../../src/ir/verify.js";
import { must } from "../../src/util/assert.js";

const type = tensorType("float32", [2]);

function sound(): { graph: Graph; x: Value; w: Value; h: Value; y: Value; body: Graph } {
  const graph = new Graph("g");
  const [x, w, h, y, c, t] = ["x", "w", "h", "y", "c", "t"].map((name) => new Value(name, type)) as [
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
  ];
  graph.inputs.push(x, c);
  graph.initializers.set(w, Tensor.of("float32", [2], [1, 2]));
  graph.nodes.push(new Node("Add", [x, w], [h], {}, {}, "", "add"));
  const body = new Graph("body");
  body.nodes.push(new Node("Neg", [h], [t]));
  body.outputs.push(t);
  graph.nodes.push(new Node("If", [c], [y], {}, { then_branch: body }, "", "if"));
  graph.outputs.push(y);
  return { graph, x, w, h, y, body };
}

describe("verify", () => {
  it("finds nothing in a sound graph", () => {
    expect(problems(newModel(sound().graph))).to.deep.equal([]);
    expect(() => verify(sound().graph)).not.to.throw();
  });

  const broken = (name: string, breakIt: (s: ReturnType<typeof sound>) => void, message: RegExp): void => {
    it(`finds ${name}`, () => {
      const s = sound();
      breakIt(s);
      expect(problems(s.graph).join("\n")).to.match(message);
      expect(() => verify(s.graph, "dce")).to.throw(/internal error: after dce: /);
    });
  };
  broken("nodes out of order", (s) => s.graph.nodes.reverse(), /If "if", Neg ""|Neg "" reads "h" before it is defined/);
  broken("a capture of nothing", (s) => s.graph.nodes.shift(), /Neg "" reads "h" before it is defined/);
  broken(
    "a value made twice",
    (s) => s.graph.nodes.push(new Node("Neg", [s.x], [s.h])),
    /defines "h", which is defined already/,
  );
  broken(
    "a wrong producer",
    (s) => (s.h.producer = null),
    /"h" is defined by Add "add", but names no node as its producer/,
  );
  broken("an input with a producer", (s) => (s.x.producer = must(s.h.producer, "add")), /"x" is defined by an input/);
  broken("two values of one name", (s) => (s.h.name = "x"), /two values are called "x"/);
  broken("a missing output", (s) => s.graph.outputs.push(new Value("z", type)), /output "z" is defined nowhere/);
  broken(
    "a body's missing output",
    (s) => s.body.outputs.push(new Value("z", type)),
    /If "if": output "z" is defined nowhere/,
  );
  broken(
    "a constant of another type",
    (s) => s.graph.initializers.set(s.w, Tensor.of("float32", [3], [1, 2, 3])),
    /the constant "w" is float32\[3\], not what its type says/,
  );
  broken(
    "an inner value seen outside",
    (s) => s.graph.outputs.push(must(s.body.outputs[0], "t")),
    /output "t" is defined nowhere/,
  );
});
