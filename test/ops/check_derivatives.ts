/** Everything that the checker compares, of some inputs and outputs in one builder. */
import { jvp } from "../../src/autodiff/forward.js";
import { gradient, hvpOfGradient, hvpReverse } from "../../src/autodiff/hvp.js";
import { vjp } from "../../src/autodiff/reverse.js";
import { tensorType, type Type, type Value } from "../../src/ir/graph.js";
import * as e from "../../src/ops/emit.js";
import type { RuleBuilder } from "../../src/ops/rule.js";
import { isFloat } from "../../src/util/dtype.js";
import type { Array64 } from "../reference/array.js";
import { direction, type Uniform } from "./check_sample.js";

/**
 * What the types say of the dimensions of inputs: their sizes; one symbol a size (1 stays 1), as a probe of a model
 * finds them; or a symbol of its own for every dimension, so that nothing is known before the run.
 */
export type Shapes = "static" | "named" | "erased";

type Vector = readonly (Value | null)[];

export interface Case {
  /** How messages begin. */
  readonly label: string;
  readonly b: RuleBuilder;
  /** Differentiable inputs, and directions for them. */
  readonly xs: readonly Value[];
  readonly vs: readonly Value[];
  /** Outputs of a float dtype, and cotangents for them. */
  readonly ys: readonly Value[];
  readonly cs: readonly Value[];
  readonly feeds: ReadonlyMap<Value, Array64>;
  /** Quantization counts without its rounding, as its derivative has it. */
  readonly straightThrough?: boolean;
  /** The outputs of the node in terms of other operators, where its derivatives are derived from that. */
  readonly terms?: readonly (readonly [Value, Value])[];
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

/** The inputs of a graph that a check makes, and what they are fed with. */
export class Inputs {
  readonly feeds = new Map<Value, Array64>();
  constructor(
    readonly b: RuleBuilder,
    private readonly prefix: string,
    private readonly shapes: Shapes,
  ) {}

  add(name: string, x: Array64, type: Type = this.typeOf(name, x)): Value {
    const v = this.b.input(`${this.prefix}${name}`, type);
    this.feeds.set(v, x);
    return v;
  }

  typeOf(name: string, x: Array64, fixed: readonly number[] = []): Type {
    const dims = x.dims.map((size, i) => {
      if (fixed.includes(i)) return size;
      if (this.shapes === "erased") return `${this.prefix}${name}_${i}`;
      return this.shapes === "static" || size <= 1 ? size : `n${size}`;
    });
    return tensorType(x.dtype, dims);
  }
}

/** Adds the derivatives of `outputs`, with their values, by `xs`, which are among `inputs`. */
export function differentiate(
  label: string,
  inputs: Inputs,
  xs: readonly Value[],
  outputs: readonly (readonly [Value, Array64])[],
  random: Uniform,
): Case {
  const { b, feeds } = inputs;
  const vs = xs.map((x, i) => inputs.add(`v${i}`, direction(random, feeds.get(x)!), x.type!));
  const floats = outputs.filter(([, y]) => isFloat(y.dtype));
  const ys = floats.map(([v]) => v);
  const cs = floats.map(([v, y], i) => inputs.add(`c${i}`, direction(random, y), v.type!));
  const as = floats.map(([v, y], i) => inputs.add(`a${i}`, direction(random, y), v.type!));
  const tangents = new Map(xs.map((x, i) => [x, vs[i]!]));
  const gradients = xs.length && ys.length ? gradient(b, objective(b, ys, cs, as), xs) : xs.map(() => null);
  const onlyCotangent = (k: number): Vector => cs.map((c, i) => (i === k ? c : null));
  return {
    label,
    b,
    xs,
    vs,
    ys,
    cs,
    feeds,
    pullback: vjp(b, ys, cs, xs),
    push: jvp(b, ys, tangents),
    pullbackOf: xs.map((x) => vjp(b, ys, cs, [x])[0] ?? null),
    pushOf: xs.map((x, i) => jvp(b, ys, new Map([[x, vs[i]!]]))),
    pullbackFrom: ys.map((_, k) => vjp(b, ys, onlyCotangent(k), xs)),
    gradients,
    hvp: hvpOfGradient(b, gradients, xs, vs),
    hvpReverse: hvpReverse(b, gradients, xs, vs),
  };
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
