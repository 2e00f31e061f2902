import type { Value } from "../ir/graph.js";
import type { RuleBuilder } from "../ops/rule.js";
import type { ParameterInfo } from "./parameter.js";

/** Values by parameter name: weights, gradients, one kind of state. */
export type Params = ReadonlyMap<string, Value>;

/** What makes a score random: labels that are drawn, or signs of the logits' shape. */
export type ScoreNoise = "labels" | "signs";

/** The loss at one set of parameters, as estimators see it. */
export interface Point {
  loss: Value;
  /** What the loss was divided by: rows, or the sum of their weights. */
  weight: Value;
  /** ∇L for every trainable parameter. */
  grads(): Params;
  /** ∇²L v. */
  hvp(v: Params): Params;
  /** Where the loss is computed from logits: these; null where the model computes its own loss. */
  logits: Value | null;
  /**
   * A random cotangent of the logits, divided as the loss is, rows of weight w scaled by √w: ∂ℓ/∂logits for labels that `noise`
   * draws from the model's own distribution, or a root of ∂²ℓ/∂logits² times signs. A UserError where there are no logits.
   */
  randomScore(kind: ScoreNoise, noise: Value): Value;
  /** Σ (∂logits/∂w)ᵀ cotangent for every trainable parameter. */
  pull(cotangent: Value): Params;
  /** What the value of the source graph became at these parameters: activations, for estimators that look inside. */
  valueOf(source: Value): Value | undefined;
}

/** A batch, or its first rows, where the gradient is taken. */
export interface Rows {
  at: Point;
  /** The same rows at other values of the trainable parameters. */
  elsewhere(w: Params): Point;
  /** Random numbers as `randomScore` wants them. */
  noise(kind: ScoreNoise): Value;
}

/** What a measurement is emitted from: one micro-batch at the point where the gradient is taken. */
export interface MeasureContext extends Rows {
  b: RuleBuilder;
  /** The trainable parameters, by name. */
  parameters: ReadonlyMap<string, ParameterInfo>;
  /** The trainable parameters at the point. */
  w: Params;
  /** The first ⌈share·rows⌉ rows of the batch. */
  rows(share: number): Rows;
  /** The probe `kind`, like every trainable parameter. */
  probe(kind: string): Params;
}

/** A kind of tensor that a measurement gives, `<kind>/<param>`; of the parameter's shape unless it says another. */
export interface MeasuredKind {
  kind: string;
  /** Shape for a parameter, or null where it has none of this kind. */
  shape?: (p: ParameterInfo) => readonly number[] | null;
}

/**
 * What an algorithm wants measured on the batch. Everything it gives must be linear in the examples: over micro-batches it
 * is averaged by the weight of the loss, like the gradient. Squares and absolute values belong into the refresh.
 */
export interface Measure {
  /** Name of the phase graph that gives it beside the gradient. */
  graph: string;
  probes: readonly { kind: string; distribution: "normal" | "rademacher" }[];
  /** The noise of its random score, where it has one. */
  noise?: ScoreNoise;
  gives: readonly MeasuredKind[];
  emit(c: MeasureContext): ReadonlyMap<string, Params>;
}

/** What a refresh reads. Only what it asks for becomes an input of its graph. */
export interface Measured {
  probe(kind: string): Params;
  /** A kind that the measurement gives. */
  value(kind: string): Params;
  /** The gradient at the point. */
  gradient(): Params;
  /** Weight of the loss: rows of the whole batch, or the sum of their weights. */
  weight(): Value;
  /** The second gradient and where it was taken: for estimators that run after it. */
  second(): { w: Params; perturbed: Params; gradient: Params };
}
