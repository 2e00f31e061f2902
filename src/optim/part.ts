import type { Value } from "../ir/graph.js";
import type { RuleBuilder } from "../ops/rule.js";
import type { ZodObject, z } from "zod";

/** Values by parameter name: weights, gradients, one kind of state. Only trainable parameters. */
export type Params = ReadonlyMap<string, Value>;

/** A float32 scalar that the driver feeds at every step, and may change from step to step. */
export interface HyperSpec {
  name: string;
  default: number;
  description: string;
}

/** One tensor of the shape of each trainable parameter, called `<kind>/<param>`. */
export interface TensorState {
  kind: string;
  /** The value that all its elements start from. */
  fill: number;
}

/** A float32 scalar `state/<name>`. */
export interface ScalarState {
  name: string;
  fill: number;
}

/** What an algorithm carries from step to step. */
export interface StateLayout {
  tensors: readonly TensorState[];
  scalars: readonly ScalarState[];
}

/** The values of a layout inside a graph. */
export interface State {
  tensors: ReadonlyMap<string, Params>;
  scalars: ReadonlyMap<string, Value>;
}

export const emptyState: State = { tensors: new Map(), scalars: new Map() };

export interface StepContext {
  b: RuleBuilder;
  /** The hyper-parameter `name` for a parameter (its group's), or for all of them. */
  hyper: (name: string, parameter?: string) => Value;
  /** Steps taken before this one, float32 `[]`. */
  step: Value;
}

export type Diagnostics = ReadonlyMap<string, Value>;

/** The perturbation of the first pass: ε from the gradient and the curvature. */
export interface Perturbation {
  perturbed: Params;
  /** ‖ε‖₂ over all parameters, `[]`. */
  norm: Value;
}

/** Common to all parts of an optimizer. */
export interface Part<Options extends ZodObject> {
  name: string;
  /** One line for `--help` and the optimizer table. */
  summary: string;
  reference: string;
  /** Options that shape the graphs; numbers that may change from step to step are hyper-parameters instead. */
  options: Options;
  hyper(o: z.output<Options>): readonly HyperSpec[];
  state(o: z.output<Options>): StateLayout;
}

/** For algorithms with curvature: the probe, and the new state from the probe and its HVP. */
export interface CurvatureRefresh<Options extends ZodObject = ZodObject> {
  estimator: string;
  frequency(o: z.output<Options>): number;
  probe(o: z.output<Options>): "normal" | "rademacher";
  refresh(
    c: StepContext,
    o: z.output<Options>,
    probe: Params,
    hvp: Params,
    s: State,
  ): { next: State; diagnostics: Diagnostics };
}

/** How the point of the second gradient is found; without `perturb` there is no second pass. */
export interface Ascent<Options extends ZodObject = ZodObject> extends Part<Options> {
  perturb?(c: StepContext, o: z.output<Options>, w: Params, g: Params, s: State): Perturbation;
  curvature?: CurvatureRefresh<Options>;
}

/** How the weights move along the descent gradient. */
export interface Base<Options extends ZodObject = ZodObject> extends Part<Options> {
  descend(c: StepContext, o: z.output<Options>, w: Params, g: Params, s: State): { next: Params; state: State };
}
