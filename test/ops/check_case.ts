/** The derivative graphs of one sample of one rule, in one builder. */
import { vjp } from "../../src/autodiff/reverse.js";
import { jvp } from "../../src/autodiff/forward.js";
import { gradient, hvpOfGradient, hvpReverse } from "../../src/autodiff/hvp.js";
import { Graph, Node, Value, tensorType, type Type } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import * as e from "../../src/ops/emit.js";
import type { OpRule, RuleBuilder, Sample } from "../../src/ops/rule.js";
import { isFloat, type DType } from "../../src/util/dtype.js";
import type { Dim } from "../../src/util/shape.js";
import type { Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { direction, drawInputs, labelOf, uniform } from "./check_sample.js";

/**
 * What the types say of the dimensions of inputs: their sizes; one symbol a size (1 stays 1), as a probe of a model
 * finds them; or a symbol of its own for every dimension, so that nothing is known before the run.
 */
export type Shapes = "static" | "named" | "erased";

type Vector = readonly (Value | null)[];

export interface Case {
  readonly label: string;
  readonly b: RuleBuilder;
  readonly node: Node;
  /** Differentiable inputs, and directions for them. */
  readonly xs: readonly Value[];
  readonly vs: readonly Value[];
  /** Outputs of a float dtype, and cotangents for them. */
  readonly ys: readonly Value[];
  readonly cs: readonly Value[];
  readonly feeds: ReadonlyMap<Value, Array64>;
  /** Jᵀc and Jv. */
  readonly pullback: Vector;
  readonly push: Vector;
  /** The same for one input at a time: Jᵀc by input; Jv by input, then output. */
  readonly pullbackOf: Vector;
  readonly pushOf: readonly Vector[];
  /** Jᵀc for the cotangent of one output at a time: by output, then input. */
  readonly pullbackFrom: readonly Vector[];
  /** g = ∇φ for φ = Σ c·y + ½ Σ a·y², and H v, forward over reverse and reverse over reverse. */
  readonly gradients: Vector;
  readonly hvp: Vector;
  readonly hvpReverse: Vector;
}

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
): Case {
  const random = uniform(`${rule.op}/${sample.name ?? rule.samples.indexOf(sample)}`);
  const inputs = drawInputs(sample, float, random);
  const outputs = primal(rule, sample, inputs);
  const feeds = new Map<Value, Array64>();
  const feed = (name: string, type: Type, x: Array64): Value => {
    const v = b.input(`${prefix}${name}`, type);
    feeds.set(v, x);
    return v;
  };
  const typeOf = (x: Array64, name: string): Type =>
    tensorType(
      x.dtype,
      x.dims.map((d, i) => dimOf(d, shapes, `${prefix}${name}_${i}`)),
    );
  const values = inputs.map((x, i) => {
    if (!x) return null;
    if (sample.inputs[i]?.constant) return b.constant(Tensor.of(x.dtype, x.dims, x.data));
    return feed(`x${i}`, typeOf(x, `x${i}`), x);
  });
  const known = rule.infer ? {} : { types: outputs.map((y, i) => typeOf(y, `y${i}`)) };
  const node = b.emit(
    rule.op,
    values,
    outputs.map(() => true),
    sample.attributes ?? {},
    {},
    known,
  );

  const xs = values.filter((v) => v !== null && feeds.has(v) && isFloat(v.dtype)) as Value[];
  const vs = xs.map((x, i) => feed(`v${i}`, x.type!, direction(random, feeds.get(x)!)));
  const floats = outputs.map((y, i) => [node.output(i), y] as const).filter(([, y]) => isFloat(y.dtype));
  const ys = floats.map(([v]) => v);
  const cs = floats.map(([v, y], i) => feed(`c${i}`, v.type!, direction(random, y)));
  const as = floats.map(([v, y], i) => feed(`a${i}`, v.type!, direction(random, y)));
  const tangents = new Map(xs.map((x, i) => [x, vs[i]!]));
  const gradients = xs.length && ys.length ? gradient(b, objective(b, ys, cs, as), xs) : xs.map(() => null);
  return {
    label: `${labelOf(rule, sample)}${shapes === "static" ? "" : `, ${shapes} shapes`}`,
    b,
    node,
    xs,
    vs,
    ys,
    cs,
    feeds,
    pullback: vjp(b, ys, cs, xs),
    push: jvp(b, ys, tangents),
    pullbackOf: xs.map((x) => vjp(b, ys, cs, [x])[0] ?? null),
    pushOf: xs.map((x, i) => jvp(b, ys, new Map([[x, vs[i]!]]))),
    pullbackFrom: ys.map((_, k) =>
      vjp(
        b,
        ys,
        cs.map((c, i) => (i === k ? c : null)),
        xs,
      ),
    ),
    gradients,
    hvp: hvpOfGradient(b, gradients, xs, vs),
    hvpReverse: hvpReverse(b, gradients, xs, vs),
  };
}

function dimOf(size: number, shapes: Shapes, own: string): Dim {
  if (shapes === "erased") return own;
  return shapes === "static" || size <= 1 ? size : `n${size}`;
}

/** Σ c·y + ½ Σ a·y²: nonlinear in y, so that linear operators have a second derivative too. */
function objective(b: RuleBuilder, ys: readonly Value[], cs: readonly Value[], as: readonly Value[]): Value {
  const terms = ys.map((y, i) => {
    const half = e.scale(b, e.mul(b, as[i]!, e.square(b, y)), 0.5);
    // Outputs may differ in dtype; the objective has that of the first.
    return e.cast(b, e.sumAll(b, e.add(b, e.mul(b, cs[i]!, y), half)), ys[0]!.dtype);
  });
  return terms.reduce((p, q) => e.add(b, p, q));
}
