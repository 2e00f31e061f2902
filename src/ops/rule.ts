import type { Builder, Infer } from "../ir/builder.js";
import type { Attributes, Graph, Node, Value } from "../ir/graph.js";
import type { DType } from "../util/dtype.js";
import type { OpName } from "./names.js";

/** Cotangents, tangents or types by position; null is a symbolic zero (never materialised), or nothing there. */
export type Values = readonly (Value | null)[];

/** What rules emit with: only operators that have a rule of their own, so differentiation is closed. */
export type RuleBuilder = Builder<OpName>;

/** Values inside the bodies of a node. */
export interface Flow {
  /** Those that a change of the operands changes differentiably. */
  readonly active: ReadonlySet<Value>;
  /** Those whose content comes to the outputs. */
  readonly reached: ReadonlySet<Value>;
}

export interface RuleContext {
  readonly b: RuleBuilder;
  /** Reverse mode through nodes of `b`, as far as `wrt`: for rules that emit their operator in other terms. */
  vjp(outputs: readonly Value[], cotangents: Values, wrt: readonly Value[]): Values;
  /** Forward mode through nodes of `b`; values that are `held` have no tangent beyond the one given. */
  jvp(outputs: Values, tangents: ReadonlyMap<Value, Value>, held: Iterable<Value>): Values;
  /** The same in the builder of a body. */
  within(b: RuleBuilder): RuleContext;
  /** What of a node with bodies lies between some of its operands and some of its outputs. */
  flow(node: Node, operands: Iterable<Value>, outputs: Iterable<Value>, mode: "vjp" | "jvp"): Flow;
}

/**
 * Cotangents of the inputs, from those of the outputs; of a node with bodies also of the values that these capture, in
 * the order of `operandsOf`, which is also that of `need` and of the tangents of a JvpRule. `need[i]` says which inputs
 * are wanted. A result may keep the broadcast shape of the output: `autodiff/accumulate.ts` sums it down to the input's.
 */
export type VjpRule = (c: RuleContext, node: Node, cotangents: Values, need: readonly boolean[]) => Values;

/** Tangents of the outputs, from those of the inputs; at least one of these is there. */
export type JvpRule = (c: RuleContext, node: Node, tangents: Values) => Values;

/** Types of the outputs. */
export type InferRule = Infer;

/** The outputs of a node in terms of other operators; null for one that the node does not give. */
export type Decompose = (b: RuleBuilder, node: Node) => Values;

/** One input of a sample: given values, or values drawn uniformly from `range` (default -1 to 1). */
export interface SampleInput {
  shape: readonly number[];
  dtype?: DType;
  values?: readonly number[];
  range?: readonly [number, number];
  /** Least distance from these points: kinks, where a derivative is a convention. */
  avoid?: { points: readonly number[]; distance: number };
  /** Values are distinct by at least this much: ties are kinks too. */
  distinct?: number;
  /** Axes whose sizes the operator has to know: they stay known where the others are symbols. */
  fixed?: readonly number[];
  /** A constant of the graph (axes, shapes), rather than an input. */
  constant?: boolean;
}

/** A node to check: both modes against float64 differences to order 2, and the runtime's load of its derivatives. */
export interface Sample {
  name?: string;
  inputs: readonly (SampleInput | null)[];
  /** Values that the bodies capture. */
  captured?: readonly SampleInput[];
  /** The bodies of the node, made in its graph's builder. */
  bodies?: (b: RuleBuilder, captured: readonly Value[], inputs: readonly Value[]) => Readonly<Record<string, Graph>>;
  attributes?: Attributes;
  outputs?: number;
  /** The runtime's CPU provider has no kernel for this form: it is checked in float64 only. */
  noKernel?: true;
}

export interface OpRule<O extends string = string> {
  op: O;
  domain?: string;
  /** First opset version of the operator whose semantics the rule states. */
  since: number;
  /** "linear": linear in each input on its own; the tangent is Σᵢ f(…, ẋᵢ, …), the other inputs held. */
  jvp: "linear" | "zero" | JvpRule;
  vjp: "zero" | VjpRule;
  /** Outputs of an integer type are quantized numbers: derivatives pass them, as floats. */
  quantizes?: true;
  /** Needed where rules emit the operator without giving the type. */
  infer?: InferRule;
  /** The operator in terms of others, where its derivatives are derived from that. */
  decompose?: Decompose;
  /** Graphs with derivatives are written in terms of the others, because both would compute the whole operator. */
  expands?: true;
  samples: readonly Sample[];
}

/**
 * The rule of an operator of a later opset or of another domain: nodes of it are replaced by the decomposition before a
 * graph is differentiated (`passes/decompose.ts`), so that no emitted graph holds it.
 */
export type LoweredRule<O extends string = string> = OpRule<O> & { decompose: Decompose };
