/** One sample of one rule: its node, and the derivatives of that. */
import { Graph, Node, Value, tensorType } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import type { OpRule, RuleBuilder, Sample } from "../../src/ops/rule.js";
import { isFloat, type DType } from "../../src/util/dtype.js";
import type { Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { Inputs, differentiate, type Case, type Shapes } from "./check_derivatives.js";
import { drawInputs, labelOf, uniform } from "./check_sample.js";

/** Values of the outputs of the node alone. */
function primal(rule: OpRule, sample: Sample, inputs: readonly (Array64 | null)[]): Array64[] {
  const graph = new Graph(rule.op);
  const feeds = new Map<Value, Array64>();
  const values = inputs.map((x, i) => {
    if (!x) return null;
    const v = new Value(`x${i}`, tensorType(x.dtype, x.dims));
    graph.inputs.push(v);
    feeds.set(v, x);
    return v;
  });
  const outputs = Array.from({ length: sample.outputs ?? 1 }, (_, i) => new Value(`y${i}`, null));
  graph.nodes.push(new Node(rule.op, values, outputs, sample.attributes ?? {}));
  const known = evaluate(graph, feeds);
  return outputs.map((o) => known.get(o)!);
}

/** Adds one sample to `b`, its inputs named after `prefix`. */
export function addCase(
  b: RuleBuilder,
  rule: OpRule,
  sample: Sample,
  float: DType,
  shapes: Shapes,
  prefix: string,
): Case & { node: Node } {
  const random = uniform(`${rule.op}/${sample.name ?? rule.samples.indexOf(sample)}`);
  const given = drawInputs(sample, float, random);
  const outputs = primal(rule, sample, given);
  const inputs = new Inputs(b, prefix, shapes);
  const values = given.map((x, i) => {
    if (!x) return null;
    return sample.inputs[i]?.constant ? b.constant(Tensor.of(x.dtype, x.dims, x.data)) : inputs.add(`x${i}`, x);
  });
  const present = outputs.map(() => true);
  const types = rule.infer ? {} : { types: outputs.map((y, i) => inputs.typeOf(`y${i}`, y)) };
  const node = b.emit(rule.op, values, present, sample.attributes ?? {}, {}, types);
  const xs = values.filter((v) => v !== null && inputs.feeds.has(v) && isFloat(v.dtype)) as Value[];
  const label = `${labelOf(rule, sample)}${shapes === "static" ? "" : `, ${shapes} shapes`}`;
  return {
    ...differentiate(
      label,
      inputs,
      xs,
      outputs.map((y, i) => [node.output(i), y] as const),
      random,
    ),
    node,
  };
}
