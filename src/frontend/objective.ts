import { gradient, hvpOfGradient } from "../autodiff/hvp.js";
import { vjp } from "../autodiff/reverse.js";
import { instantiate, type Retype, type Rewrite } from "../ir/copy.js";
import { tensorType, type Graph, type Value } from "../ir/graph.js";
import { ruleOf } from "../ops/builder.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { must, UserError } from "../util/assert.js";
import type { Dim } from "../util/shape.js";
import { trainsBatchNorm } from "../ops/BatchNormalization.js";
import { autocast, inPrecision, type Precision } from "./autocast.js";
import { castLabels, evaluateArtifact, weighted, type ArtifactLoss, type TrainingGraph } from "./artifact.js";
import { emitEvaluationNorm, type Buffer } from "./batch_norm.js";
import { rewriteDropouts, type DropoutMask } from "./dropout.js";
import { emitLoss, randomScore, type Loss, type LossOptions, type ScoreNoise } from "./losses.js";
import type { Parameter } from "./parameters.js";

/** Values of a builder by parameter name, in the order of the parameters. */
export type Params = ReadonlyMap<string, Value>;

/** A model ready to be trained: its typed graph, its parameters, what it outputs and what it loses. */
export interface Source {
  graph: Graph;
  /** Graph inputs that a batch feeds, by their names in packages. */
  inputs: ReadonlyMap<string, Value>;
  outputs: ReadonlyMap<string, Value>;
  parameters: readonly Parameter[];
  dropouts: readonly DropoutMask[];
  /** Running statistics that the forward pass in training mode moves; evaluation reads them. */
  buffers: readonly Buffer[];
  /** Whether steps move the buffers (true) or leave them as they are. */
  movesBuffers: boolean;
  loss: LossSpec;
  /** What its training graphs compute in; evaluation is in float32 always. Default: float32. */
  precision?: Precision;
  /** A graph of training artifacts, which computes loss and gradients in training mode in the place of `graph`. */
  training?: TrainingGraph;
}

export type LossSpec =
  | { kind: "computed"; options: LossOptions; logits: Value }
  /** The model computes its own loss, a scalar mean over the rows of the batch. */
  | { kind: "output"; value: Value }
  | ArtifactLoss;

/** The value of the source graph that the loss is, or is computed from. */
export const lossTarget = (loss: LossSpec): Value => (loss.kind === "computed" ? loss.logits : loss.value);

/**
 * Values that one batch gives (model inputs by name, labels, dropout masks by name), and the buffers by name: evaluation
 * mode needs these, training mode only where it is asked for their new values.
 */
export interface BatchValues {
  inputs: ReadonlyMap<string, Value>;
  labels: Value | null;
  random: ReadonlyMap<string, Value>;
  buffers: Params;
  /** Types of what is computed from a batch that was cut, from those of the source graph. */
  retype?: Retype;
  /** The loss is differentiated times this, and its gradient divided by it. */
  lossScale?: Value;
}

export interface Evaluation extends Loss {
  outputs: ReadonlyMap<string, Value>;
  /** New values of the buffers that move; empty outside of training mode. */
  buffers: Params;
  /** ∇L for every trainable parameter; zeros where the loss does not depend on one. */
  grads(): Params;
  /** ∇²L v, sharing all that `grads` computed. */
  hvp(v: Params): Params;
  /** null where the model computes its own loss. */
  logits: Value | null;
  /** A random cotangent of the logits, whose square is the loss's curvature there on average (see `randomScore` of the losses). */
  randomScore(kind: ScoreNoise, noise: Value): Value;
  /** Cotangents of the trainable parameters, given that of the logits. */
  pull(cotangent: Value): Params;
  /** What a value of the source graph became. */
  valueOf(source: Value): Value | undefined;
}

/** The loss by its kind and the logits that it reads; null where the model computes one that the project does not know. */
export function knownLoss(loss: LossSpec): { options: LossOptions; logits: Value } | null {
  if (loss.kind === "artifact") return loss.known;
  return loss.kind === "computed" ? loss : null;
}

/** How `randomScore` wants its noise; null where the model computes its own loss. */
export function scoreNoise(
  loss: LossSpec,
  kind: ScoreNoise,
): { shape: readonly Dim[]; distribution: "uniform" | "normal" | "rademacher" } | null {
  const labels = labelsType(loss);
  const known = knownLoss(loss);
  if (!labels || !known) return null;
  if (kind === "signs") return { shape: known.logits.dims, distribution: "rademacher" };
  const shape = known.options.kind === "soft-cross-entropy" ? labels.shape.slice(0, -1) : labels.shape;
  return { shape, distribution: known.options.kind === "mse" ? "normal" : "uniform" };
}

/** Type of the labels, or null where the model computes its own loss. */
export function labelsType(loss: LossSpec): { dtype: "int64" | "float32"; shape: readonly Dim[] } | null {
  if (loss.kind === "output") return null;
  if (loss.kind === "artifact") {
    const { labels } = loss;
    return labels && { dtype: labels.dtype.startsWith("float") ? "float32" : "int64", shape: labels.dims };
  }
  const dims = loss.logits.dims;
  if (loss.options.kind === "cross-entropy") return { dtype: "int64", shape: dims.slice(0, -1) };
  const squeezed = loss.options.kind === "mse" && dims.length === 2 && dims[1] === 1;
  return { dtype: "float32", shape: squeezed ? dims.slice(0, 1) : dims };
}

/**
 * The loss of `source` at parameters `params`, as new nodes of `b`. Whatever does not depend on the parameters (attention
 * masks, shapes) is shared between evaluations in one builder.
 */
export function evaluate(
  b: RuleBuilder,
  source: Source,
  params: Params,
  batch: BatchValues,
  training: boolean,
): Evaluation {
  if (training && source.training && source.loss.kind === "artifact")
    return evaluateArtifact(b, source, source.training, source.loss, params, batch);
  const wanted = [...source.outputs.values(), lossTarget(source.loss)];
  const map = forward(b, source, params, batch, training, wanted);
  const outputs = new Map([...source.outputs].map(([name, v]) => [name, must(map.get(v), `output "${name}"`)]));
  const loss = lossOf(b, source, map, batch);
  const moved = training && source.movesBuffers ? source.buffers : [];
  const trainable = source.parameters.filter((p) => p.trainable);
  const at = trainable.map((p) => must(params.get(p.name), `parameter "${p.name}"`));
  let grads: (Value | null)[] | undefined;
  const gradients = (): (Value | null)[] => (grads ??= scaledGradient(b, loss.loss, at, batch.lossScale));
  const named = (values: readonly (Value | null)[]): Params =>
    new Map(trainable.map((p, i) => [p.name, values[i] ?? e.fullLike(b, 0, must(at[i], p.name))]));
  const spec = source.loss;
  const logits = spec.kind === "computed" ? must(map.get(spec.logits), "the logits") : null;
  return {
    ...loss,
    outputs,
    buffers: new Map(moved.map((f) => [f.name, must(map.get(f.moved), `the new value of "${f.name}"`)])),
    logits,
    valueOf: (v) => map.get(v),
    randomScore: (kind, noise) => {
      if (spec.kind !== "computed" || !logits) {
        throw new UserError("the model computes its own loss, so labels cannot be drawn; take another estimator");
      }
      return randomScore(kind, b, spec.options, logits, must(batch.labels, "labels"), noise);
    },
    pull: (cotangent) => named(scaledPullback(b, must(logits, "the logits"), cotangent, at, batch.lossScale)),
    grads: () => named(gradients()),
    hvp: (v) =>
      named(
        hvpOfGradient(
          b,
          gradients(),
          at,
          trainable.map((p) => v.get(p.name) ?? null),
        ),
      ),
  };
}

/** ∇L by way of ∇(sL)/s, where the loss has a scale s. */
function scaledGradient(b: RuleBuilder, loss: Value, at: readonly Value[], scale?: Value): (Value | null)[] {
  return scale ? unscaled(b, vjp(b, [loss], [scale], at), scale) : gradient(b, loss, at);
}

/** The cotangents of `at` for one of `from`, on the way times the scale of the loss where there is one. */
function scaledPullback(
  b: RuleBuilder,
  from: Value,
  cotangent: Value,
  at: readonly Value[],
  scale?: Value,
): (Value | null)[] {
  return scale ? unscaled(b, vjp(b, [from], [e.mul(b, cotangent, scale)], at), scale) : vjp(b, [from], [cotangent], at);
}

function unscaled(b: RuleBuilder, values: readonly (Value | null)[], scale: Value): (Value | null)[] {
  const inverse = e.reciprocal(b, scale);
  return values.map((v) => v && e.mul(b, v, inverse));
}

/** Copies what `wanted` values need into `b`; with `training` false every Dropout is the identity, every batch norm by its buffers. */
export function forward(
  b: RuleBuilder,
  source: Source,
  params: Params,
  batch: Pick<BatchValues, "inputs" | "random" | "buffers" | "retype" | "labels">,
  training: boolean,
  wanted: readonly Value[],
): Map<Value, Value> {
  const bindings = new Map<Value, Value>();
  for (const [name, v] of source.inputs) bindings.set(v, must(batch.inputs.get(name), `input "${name}"`));
  for (const p of source.parameters) bindings.set(p.value, must(params.get(p.name), `parameter "${p.name}"`));
  const labels = source.loss.kind === "artifact" ? source.loss.labels : null;
  if (labels && batch.labels) bindings.set(labels, castLabels(b, batch, labels));
  for (const f of source.buffers) {
    const value = batch.buffers.get(f.name);
    if (value) bindings.set(f.value, value);
  }
  const dropouts = rewriteDropouts(b, source.dropouts, batch, training);
  const replace: Rewrite = (node, inputs, inner, copy) => {
    const rule = training ? ruleOf(node) : undefined;
    if (rule?.expands) return rule.decompose?.(inner, copy()) ?? null;
    if (trainsBatchNorm(node) && !training) return emitEvaluationNorm(inner, node, inputs);
    return dropouts(node, inputs, inner, copy);
  };
  if (!training || source.precision !== "mixed")
    return instantiate(b, source.graph, bindings, wanted, replace, batch.retype);
  const parameters = new Set(source.parameters.map((p) => p.value));
  const map = instantiate(b, source.graph, bindings, wanted, autocast(source.graph, parameters, replace), batch.retype);
  for (const v of wanted) map.set(v, inPrecision(b, must(map.get(v), v.name), false));
  return map;
}

/** Emits the loss over the copied values. */
export function lossOf(
  b: RuleBuilder,
  source: Source,
  map: ReadonlyMap<Value, Value>,
  batch: Pick<BatchValues, "inputs" | "labels">,
): Loss {
  const spec = source.loss;
  if (spec.kind === "computed") {
    const logits = must(map.get(spec.logits), "the logits");
    return emitLoss(b, spec.options, logits, must(batch.labels, "labels"));
  }
  const loss = must(map.get(spec.value), "the loss");
  if (spec.kind === "artifact") return weighted(b, loss, spec, batch);
  const first = must([...batch.inputs.values()][0], "a model input");
  const rows = e.cast(b, e.squeeze(b, e.dimOf(b, first, 0), [0]), loss.dtype);
  const scalar = e.reshapeTo(b, loss, b.constant(e.emptyShape()), tensorType(loss.dtype, []));
  return { loss: scalar, sum: e.mul(b, scalar, rows), weight: rows };
}
