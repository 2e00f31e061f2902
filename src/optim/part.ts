/**
 * What an optimizer is made of: an ascent (where the second gradient is taken), a combine rule (what the two gradients make)
 * and a base (how the weights move along it). Each is one file that exports one `Ascent`, `Combine` or `Base`, and is listed
 * in `compose.ts`; step graphs, phases, manifest, help and validation follow from what it declares.
 *
 * Options are one zod schema a part; see `schema.ts` for its hyper-parameters.
 *
 * A base with matrix state (Shampoo, K-FAC) plugs in so:
 * - `state` lists kinds of tensors with a `shape` of their own, per parameter (null: none); `identity` starts square
 *   matrices from a multiple of the identity.
 * - Statistics of the gradient alone (Shampoo's L, R): `descend` returns them in its next state, at every step; or
 *   `curvature` without `measure`, whose `refresh` reads `m.gradient()` every `frequency` steps.
 * - Statistics that need the batch (K-FAC's factors): `curvature.measure` emits them where the gradient is taken, linear in the
 *   examples, of any shape; `curvature.refresh` averages them into the state.
 * - Roots and inverses: `refreshes`, graphs from state to state without a batch. At step t with (t − offset) mod every = 0 they
 *   run before the step, on the state that the step before left. What a refresh writes, no other part may write.
 */
import type { ZodObject, z } from "zod";
import type { Measure, Measured, Params } from "../curvature/measure.js";
import type { ParameterInfo } from "../curvature/parameter.js";
import type { Value } from "../ir/graph.js";
import type { RuleBuilder } from "../ops/rule.js";
import type { Range } from "../util/range.js";
import type { DType } from "../util/dtype.js";

export type { ParameterInfo, Params };

/** A float32 scalar that the driver feeds at every step, and may change from step to step. */
export interface HyperSpec {
  name: string;
  default: number;
  description: string;
  /** Where its values may lie. */
  range?: Range;
  /** The hyper-parameter that it equals where nothing else is said. */
  follows?: string;
}

/** One tensor for each trainable parameter, called `<kind>/<param>`. */
export interface TensorState {
  kind: string;
  /** The value that all its elements start from. */
  fill: number;
  /** Only the diagonal of the last two axes starts from `fill`; the rest from 0. */
  identity?: true;
  /** Its shape for a parameter, null where the parameter has none; by default the parameter's. */
  shape?: (p: ParameterInfo) => readonly number[] | null;
  /** By default float32. */
  dtype?: DType;
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

/** The values of a layout inside a graph. A next state holds only what changes. */
export interface State {
  tensors: ReadonlyMap<string, Params>;
  scalars: ReadonlyMap<string, Value>;
}

export const emptyState: State = { tensors: new Map(), scalars: new Map() };
export const noState: StateLayout = { tensors: [], scalars: [] };

export interface StepContext {
  b: RuleBuilder;
  /** The trainable parameters, by name. */
  parameters: ReadonlyMap<string, ParameterInfo>;
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
  diagnostics?: Diagnostics;
}

/** A state that is made anew from time to time, without a batch: `emit` gives the kinds that it renews. */
export interface Refresh<Options extends ZodObject = ZodObject> {
  /** Name of its graph. */
  name: string;
  every(o: z.output<Options>): number;
  /** The first step before which it runs. */
  offset(o: z.output<Options>): number;
  emit(c: StepContext, o: z.output<Options>, s: State): State;
}

/** Common to all parts of an optimizer. */
export interface Part<Options extends ZodObject> {
  name: string;
  /** One line for `--help` and the optimizer table. */
  summary: string;
  reference: string;
  /**
   * One schema for all that can be set: options that shape the graphs, and hyper-parameters (`hyper` of schema.ts), which every
   * step is fed. It gives the types, the help, the validation and the manifest's entries.
   */
  options: Options;
  /** The hyper-parameters that these options have, usually `hyperOf(options, o)`. */
  hyper(o: z.output<Options>): readonly HyperSpec[];
  /** What is wrong with these options together, or null. */
  check?(o: z.output<Options>): string | null;
  state(o: z.output<Options>): StateLayout;
  refreshes?(o: z.output<Options>): readonly Refresh<Options>[];
  /** Gradient evaluations that it adds to a step, on average; for a combine rule, the factor of what the ascent adds. */
  gradients?(o: z.output<Options>): number;
}

/** State that is refreshed from measurements on the batch every so many steps; null in an option set without any. */
export interface Curvature<Options extends ZodObject = ZodObject> {
  estimator: string;
  frequency: number;
  /** What is measured where the gradient is taken; without it, the refresh has the gradient alone. */
  measure?: Measure;
  /** Ascents only: the refresh reads both gradients, comes after the second, and serves the next step. */
  after?: true;
  refresh(c: StepContext, o: z.output<Options>, m: Measured, s: State): { next: State; diagnostics: Diagnostics };
}

/** How the point of the second gradient is found; without `perturb` there is no second pass. */
export interface Ascent<Options extends ZodObject = ZodObject> extends Part<Options> {
  perturb?(c: StepContext, o: z.output<Options>, w: Params, g: Params, s: State): Perturbation;
  /** Measured at w. */
  curvature?(o: z.output<Options>): Curvature<Options>;
}

/** What a combine rule gives: the gradient to descend along. */
export interface Combined {
  descent: Params;
  state: State;
  diagnostics?: Diagnostics;
}

/** What becomes of g = ∇L(w) and the second gradient ∇L(w + ε). */
export interface Combine<Options extends ZodObject = ZodObject> extends Part<Options> {
  /** Steps from one second pass to the next; without it every step has one. Curvature refreshes fall on these steps. */
  period?(o: z.output<Options>): number;
  combine(c: StepContext, o: z.output<Options>, g: Params, second: Params, s: State): Combined;
  /** The same at a step without a second pass. */
  reuse?(c: StepContext, o: z.output<Options>, g: Params, s: State): Combined;
  /** A hyper-parameter of the ascent as this rule wants it: GSAM's ρ follows the learning rate. */
  adjust?(c: StepContext, o: z.output<Options>, name: string, parameter?: string): Value | null;
}

/** How the weights move along the descent gradient. */
export interface Base<Options extends ZodObject = ZodObject> extends Part<Options> {
  descend(
    c: StepContext,
    o: z.output<Options>,
    w: Params,
    g: Params,
    s: State,
  ): { next: Params; state: State; diagnostics?: Diagnostics };
  /** Measured where the descent gradient is taken: at w + ε where there is a second pass. */
  curvature?(o: z.output<Options>): Curvature<Options>;
}
