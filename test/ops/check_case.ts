/** One sample of one rule: its node, and the derivatives of that. */
import { Node, Value, tensorType } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";
import type { OpRule, RuleBuilder, Sample } from "../../src/ops/rule.js";
import { isFloat, type DType } from "../../src/util/dtype.js";
import type { Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { Inputs, differentiate, type Case, type Shapes } from "./check_derivatives.js";
import { drawInputs, labelOf, uniform } from "./check_sample.js";

/** Values of the outputs of the node alone. */
function primal(
  rule: OpRule,
  sample: Sample,
  inputs: readonly (Array64 | null)[],
  captured: readonly Array64[],
): Array64[] {
  const b = newBuilder(rule.op);
  const feeds = new Map<Value, Array64>();
  const add = (x: Array64, name: string): Value => {
    const v = b.input(name, tensorType(x.dtype, x.dims));
    feeds.set(v, x);
    return v;
  };
  const values = inputs.map((x, i) => x && add(x, `x${i}`));
  const outer = captured.map((x, i) => add(x, `captured${i}`));
  const bodies = sample.bodies?.(b, outer, values.map(valueOrNull)) ?? {};
  const outputs = Array.from({ length: sample.outputs ?? 1 }, (_, i) => new Value(`y${i}`, null));
  b.graph.nodes.push(new Node(rule.op, values, outputs, sample.attributes ?? {}, bodies, rule.domain ?? ""));
  const known = evaluate(b.graph, feeds);
  return outputs.map((o) => known.get(o)!);
}

/** Bodies read no input that is not there. */
const valueOrNull = (v: Value | null): Value => v as Value;

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
  const given = drawInputs(sample.inputs, float, random);
  const captured = drawInputs(sample.captured ?? [], float, random) as Array64[];
  const outputs = primal(rule, sample, given, captured);
  const inputs = new Inputs(b, prefix, shapes);
  const values = given.map((x, i) => {
    if (!x) return null;
    return sample.inputs[i]?.constant
      ? b.constant(Tensor.of(x.dtype, x.dims, x.data))
      : inputs.add(`x${i}`, x, inputs.typeOf(`x${i}`, x, sample.inputs[i]?.fixed));
  });
  const outer = captured.map((x, i) => inputs.add(`captured${i}`, x));
  const bodies = sample.bodies?.(b, outer, values.map(valueOrNull)) ?? {};
  const present = outputs.map(() => true);
  const types = rule.infer ? {} : { types: outputs.map((y, i) => inputs.typeOf(`y${i}`, y)) };
  const options = { ...types, domain: rule.domain ?? "" };
  const node = b.emit(rule.op, values, present, sample.attributes ?? {}, bodies, options);
  const xs = [...values, ...outer].filter((v) => v !== null && inputs.feeds.has(v) && isFloat(v.dtype)) as Value[];
  const label = `${labelOf(rule, sample)}${shapes === "static" ? "" : `, ${shapes} shapes`}`;
  const terms = rule.decompose?.(b, node).flatMap((y, i) => (y ? [[y, node.output(i)] as const] : [])) ?? [];
  return {
    terms,
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
