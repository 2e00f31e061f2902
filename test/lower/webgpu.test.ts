import { expect } from "chai";
import { Graph, Node, newModel } from "../../src/ir/graph.js";
import { nodesForCpu } from "../../src/lower/webgpu.js";
import { newBuilder } from "../../src/ops/builder.js";
import { rules } from "../../src/ops/index.js";
import type { OpName } from "../../src/ops/names.js";
import type { OpRule } from "../../src/ops/rule.js";
import { parseModel, serializeModel } from "../../src/serde/index.js";
import { must } from "../../src/util/assert.js";
import { addCase } from "../ops/check_case.js";

/** Operators of the nodes that a sample and its derivatives give to the CPU, after a round through a file. */
function opsForCpu(rule: OpRule, sample: number): string[] {
  const b = newBuilder(rule.op);
  const { node, pullback, hvp } = addCase(b, rule, must(rule.samples[sample], "the sample"), "float32", "static", "");
  [...node.outputs, ...pullback, ...hvp].forEach((value, i) => value && b.output(value, `out${i}`));
  const { graph } = parseModel(serializeModel(newModel(b.graph)), {});
  const names = nodesForCpu(graph);
  return [...new Set(graph.nodes.filter((n) => names.includes(n.name)).map((n) => n.op))];
}

describe("nodes that the WebGPU provider would fail in", () => {
  const named = (rule: OpRule, name: string): number => rule.samples.findIndex((s) => s.name === name);
  const rule = (op: OpName): OpRule => rules[op];

  for (const [op, sample] of [
    ["LayerNormalization", "a scale that broadcasts"],
    ["ReduceL1", "no axis"],
    ["ReduceSumSquare", "no axis"],
    ["SimplifiedLayerNormalization", "two outputs"],
  ] as const)
    it(`${op}, ${sample}: goes to the CPU`, () => {
      expect(opsForCpu(rule(op), named(rule(op), sample))).to.include(op);
    });

  it("pooling with indices, which the derivative of any pooling takes, goes to the CPU", () => {
    expect(opsForCpu(rule("MaxPool"), 0)).to.deep.equal(["MaxPool"]);
  });

  it("transposed convolutions of three axes, which derivatives of convolutions are, go to the CPU", () => {
    expect(opsForCpu(rule("Conv"), named(rule("Conv"), "three axes"))).to.deep.equal(["ConvTranspose"]);
  });

  for (const op of ["LSTM", "GRU"])
    it(`${op}: goes to the CPU with activations other than its own`, () => {
      const names = (...value: string[]): string[] => {
        const graph = new Graph("recurrent");
        graph.nodes.push(new Node(op, [], [], { activations: { type: "strings", value } }, {}, "", "layer"));
        return nodesForCpu(graph);
      };
      expect(names("Sigmoid", "Softsign", "Tanh")).to.deep.equal(["layer"]);
      expect(names("Sigmoid", "Tanh")).to.deep.equal([]);
    });

  it("the usual forms stay", () => {
    for (const op of ["LayerNormalization", "ReduceL1", "ReduceSumSquare", "Conv", "ConvTranspose"] as const)
      expect(opsForCpu(rule(op), 0), op).to.deep.equal([]);
  });
});
