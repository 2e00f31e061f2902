import { hvpOfGradient } from "../autodiff/hvp.js";
import { vjp } from "../autodiff/reverse.js";
import { instantiate } from "../ir/copy.js";
import { tensorType, type Graph, type Value } from "../ir/graph.js";
import type { Tensor } from "../ir/tensor.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { must, UserError } from "../util/assert.js";
import { isStatic } from "../util/shape.js";
import { rewriteDropouts, type DropoutMask } from "./dropout.js";
import { randomScore, type Loss, type LossOptions } from "./losses.js";
import type { BatchValues, Evaluation, Params, Source } from "./objective.js";

/**
 * The training graph of ONNX Runtime's artifacts in standard operators: it computes loss and gradients itself. Values
 * belong to `graph`.
 */
export interface TrainingGraph {
  graph: Graph;
  /** By their names in packages. */
  inputs: ReadonlyMap<string, Value>;
  labels: Value | null;
  parameters: ReadonlyMap<string, Value>;
  loss: Value;
  gradients: ReadonlyMap<string, Value>;
  /** What the evaluation graph outputs, as far as this graph has it, by its names in packages. */
  outputs: ReadonlyMap<string, Value>;
  dropouts: readonly DropoutMask[];
}

/** A loss that graphs of artifacts compute themselves. */
export interface ArtifactLoss {
  kind: "artifact";
  /** In the evaluation graph. */
  value: Value;
  labels: Value | null;
  /** What it is, where it is one that the project knows, and what it compares: by its name among the outputs, too. */
  known: { options: LossOptions; logits: Value; output: string } | null;
  /** Of a cross-entropy: what each label weighs in the mean. */
  weights: { ignoreIndex: number | undefined; classes: Tensor | undefined } | null;
}

/**
 * Loss, gradients and Hessian-vector products of `source` in training mode, from the artifacts' own gradient graph: the
 * product is its tangent, forward over their reverse.
 */
export function evaluateArtifact(
  b: RuleBuilder,
  source: Source,
  training: TrainingGraph,
  loss: ArtifactLoss,
  params: Params,
  batch: BatchValues,
): Evaluation {
  const bindings = new Map<Value, Value>();
  for (const [name, v] of training.inputs) bindings.set(v, must(batch.inputs.get(name), `input "${name}"`));
  for (const [name, v] of training.parameters) {
    const value = params.get(name) ?? batch.buffers.get(name);
    if (value) bindings.set(v, value);
  }
  if (training.labels) bindings.set(training.labels, castLabels(b, batch, training.labels));
  const trainable = source.parameters.filter((p) => p.trainable);
  const gradients = trainable.map((p) => must(training.gradients.get(p.name), `the gradient of "${p.name}"`));
  const moved = source.movesBuffers ? source.buffers : [];
  const wanted = [...moved.map((f) => f.moved), ...training.outputs.values()];
  const roots = [training.loss, ...gradients, ...wanted];
  const map = instantiate(
    b,
    training.graph,
    bindings,
    roots,
    rewriteDropouts(b, training.dropouts, batch, true),
    batch.retype,
  );
  const at = (v: Value): Value => must(map.get(v), `a copy of "${v.name}"`);
  const grads = gradients.map(at);
  const named = (values: readonly (Value | null)[]): Params =>
    new Map(trainable.map((p, i) => [p.name, values[i] ?? e.fullLike(b, 0, must(params.get(p.name), p.name))]));
  const logits = loss.known && training.outputs.get(loss.known.output);
  return {
    logits: logits ? at(logits) : null,
    valueOf: () => {
      throw new UserError(
        "the gradient graph of training artifacts does not say what its layers read; for K-FAC patch the exported model itself",
      );
    },
    randomScore: (kind, noise) => {
      if (!loss.known || !logits)
        throw new UserError(
          "the artifacts compute a loss of their own, so labels cannot be drawn; take another estimator",
        );
      return randomScore(kind, b, loss.known.options, at(logits), must(batch.labels, "labels"), noise);
    },
    ...weighted(b, at(training.loss), loss, batch),
    outputs: new Map([...training.outputs].map(([name, v]) => [name, at(v)])),
    buffers: new Map(moved.map((f) => [f.name, at(f.moved)])),
    pull: (cotangent) => {
      const at = trainable.map((p) => must(params.get(p.name), p.name));
      return named(vjp(b, [must(logits && map.get(logits), "the logits")], [cotangent], at));
    },
    grads: () => named(grads),
    hvp: (v) =>
      named(
        hvpOfGradient(
          b,
          grads,
          trainable.map((p) => must(params.get(p.name), p.name)),
          trainable.map((p) => v.get(p.name) ?? null),
        ),
      ),
  };
}

/** The labels in the dtype that the graphs of artifacts read. */
export const castLabels = (b: RuleBuilder, batch: Pick<BatchValues, "labels">, input: Value): Value =>
  e.cast(b, must(batch.labels, "labels"), input.dtype);

/** The loss as a sum and its weight: the weights of the labels that count, else the number of rows. */
export function weighted(
  b: RuleBuilder,
  value: Value,
  loss: ArtifactLoss,
  batch: Pick<BatchValues, "inputs" | "labels">,
): Loss {
  const scalar = e.reshapeTo(b, value, b.constant(e.emptyShape()), tensorType(value.dtype, []));
  const weight = loss.weights && batch.labels ? labelWeight(b, batch.labels, loss.weights) : rowCount(b, batch);
  return { loss: scalar, sum: e.mul(b, scalar, weight), weight };
}

function rowCount(b: RuleBuilder, batch: Pick<BatchValues, "inputs" | "labels">): Value {
  const first = batch.labels ?? must([...batch.inputs.values()][0], "a model input");
  const rows = first.dims.length > 0 ? e.squeeze(b, e.dimOf(b, first, 0), [0]) : b.scalar(1, "int64");
  return e.cast(b, rows, "float32");
}

/** Σ over labels that are not ignored of their class's weight, or their number. */
function labelWeight(b: RuleBuilder, labels: Value, of: NonNullable<ArtifactLoss["weights"]>): Value {
  const ids = e.cast(b, labels, "int64");
  const { ignoreIndex, classes } = of;
  const ignored = ignoreIndex === undefined ? null : e.equal(b, ids, b.scalar(ignoreIndex, "int64"));
  const safe = ignored ? e.where(b, ignored, b.scalar(0, "int64"), ids) : ids;
  const own = classes ? e.gather(b, b.constant(classes, "class_weights"), safe, 0) : null;
  if (!own && !ignored) {
    if (ids.shape && isStatic(ids.shape)) return b.scalar(ids.shape.reduce((n, d) => n * d, 1));
    return e.cast(b, e.size(b, ids), "float32");
  }
  const mask = ignored ? e.cast(b, e.not(b, ignored), "float32") : null;
  return e.sumAll(b, own && mask ? e.mul(b, own, mask) : must(own ?? mask, "weights"));
}
