import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { upgrade } from "../convert/index.js";
import { readCheckpoint } from "../format/checkpoint.js";
import type { ArtifactLoss } from "../frontend/artifact.js";
import type { LossOptions } from "../frontend/losses.js";
import type { Source } from "../frontend/objective.js";
import { selectTrainable, type Parameter } from "../frontend/parameters.js";
import { reserved, type SourceOptions } from "../frontend/source.js";
import { findLossParts, trainingPorts, type FoundLoss } from "../frontend/training_graph.js";
import { Graph, tensorType, type Model, type Value } from "../ir/graph.js";
import type { Tensor } from "../ir/tensor.js";
import { constantTensor } from "../ops/shapes.js";
import { constantsToInitializers } from "../passes/constants.js";
import { dce } from "../passes/dce.js";
import { simplify } from "../passes/simplify.js";
import { slicesToSplits } from "../passes/split.js";
import { staticReshapes } from "../passes/static_reshapes.js";
import { loadModel } from "../serde/index.js";
import { UserError, check, must } from "../util/assert.js";
import { sha256OfFile } from "../util/hash.js";
import type { Dim } from "../util/shape.js";
import { didYouMean } from "../util/suggest.js";
import { attachParameters } from "./artifact_parameters.js";
import { dropMovedStatistics, lowerArtifact, promoteStatistics } from "./artifact_graph.js";
import { versionsOf, type Origin } from "./load.js";
import { probeTypes } from "./probe.js";

/** Where the parts of ONNX Runtime's training artifacts lie. */
export interface ArtifactFiles {
  /** The parameters. */
  checkpoint: string;
  /** By default `eval_model.onnx` beside the training model, under the same prefix. */
  evalModel?: string;
  /** The input that holds the labels, where it is not called `labels` or `target`. */
  labels?: string;
  /** The value of the evaluation model that is its output; by default what the loss compares with the labels. */
  logits?: string;
}

/**
 * Reads the training artifacts of ONNX Runtime around the training model `file`: its gradient graph in standard operators,
 * the evaluation model, and the parameters of the checkpoint.
 *
 * Throws a UserError for parts that are missing or do not belong together, and for operators without a standard form.
 */
export async function loadArtifact(
  file: string,
  files: ArtifactFiles,
  options: Omit<SourceOptions, "loss">,
): Promise<{ source: Source; origin: Origin }> {
  const training = loadModel(file);
  const evalFile = files.evalModel ?? evalModelBeside(file);
  const evaluation = loadModel(evalFile);
  const origin = { file: basename(file), sha256: await sha256OfFile(file), ...versionsOf(training) };
  for (const model of [training, evaluation]) {
    upgrade(model);
    constantsToInitializers(model.graph);
  }
  dropMovedStatistics(evaluation.graph);
  const statistics = promoteStatistics(training.graph);
  const ports = trainingPorts(training.graph, file);
  const parameters = attachParameters({
    file,
    evalFile,
    checkpointFile: files.checkpoint,
    checkpoint: readCheckpoint(files.checkpoint),
    ports,
    evaluation: evaluation.graph,
  });
  const isBatch = (v: Value): boolean => !parameters.has(v.name) && !statistics.has(v.name);
  const inputs = evaluation.graph.inputs.filter((v) => !evaluation.graph.initializers.has(v));
  const trainingInputs = new Map(ports.inputs.filter(isBatch).map((v) => [v.name, v]));
  sameInputs(file, evalFile, inputs, trainingInputs);

  const lossValue = evaluation.graph.outputs[0];
  check(lossValue, `${evalFile}: it has no outputs; the first one of an evaluation model is its loss`);
  const found = findLossParts(evaluation.graph, lossValue, inputs, files.labels);
  const parts = files.logits === undefined ? found : withPredictions(evaluation.graph, found, files.logits);
  narrowInputs(evaluation.graph, new Set(inputs));
  await alignLabels(evaluation, parts, inputs);
  for (const v of inputs) must(trainingInputs.get(v.name), v.name).type = v.type;

  await probeTypes(evaluation);
  const spec = artifactLoss(evaluation.graph, parts);
  const outputs = outputsOf(evaluation.graph, parts);
  tidy(evaluation.graph, [lossValue, ...outputs.values()]);
  const [loss, ...values] = evaluation.graph.outputs;
  const named = new Map([...outputs.keys()].map((name, i) => [name, must(values[i], name)]));
  check(
    loss?.dtype === "float32" && loss.shape?.every((d) => d === 1),
    () =>
      `${evalFile}: its first output "${lossValue.name}" is ${loss?.dtype ?? ""}[${loss?.dims.join(", ") ?? ""}]; a float32 scalar, the loss, is expected`,
  );
  spec.value = loss;
  if (spec.known) spec.known.logits = must(named.get(spec.known.output), "the logits");

  const batch = new Map(
    inputs.filter((v) => v !== parts.labels).map((v) => [v.name === "labels" ? "labels_input" : v.name, v]),
  );
  const lowered = await lowerArtifact({ training, file, ports, evaluation: evaluation.graph, outputs: outputs.keys() });
  const moved = new Set(lowered.buffers.map((f) => f.name));
  const described = describeParameters(
    [...parameters.values()].filter((v) => !moved.has(v.name)),
    ports.gradients,
    options,
  );
  for (const name of [...batch.keys(), ...described.map((p) => p.name)])
    check(!reserved.test(name), `"${name}": names under "${name.split("/")[0] ?? ""}/" belong to training packages`);
  const { input } = lowered;
  return {
    source: {
      graph: evaluation.graph,
      inputs: batch,
      outputs: named,
      parameters: described,
      dropouts: lowered.graph.dropouts,
      buffers: lowered.buffers,
      movesBuffers: options.batchNormStatistics !== "freeze",
      loss: spec,
      training: {
        ...lowered.graph,
        inputs: new Map([...batch].map(([name, v]) => [name, input(v.name)])),
        labels: parts.labels && input(parts.labels.name),
        parameters: new Map([...parameters.keys(), ...statistics].map((name) => [name, input(name)])),
      },
    },
    origin,
  };
}

/** `<prefix>eval_model.onnx` for `<prefix>training_model.onnx`. */
function evalModelBeside(file: string): string {
  const name = basename(file).replace("training_model", "eval_model");
  const beside = join(dirname(file), name === basename(file) ? "eval_model.onnx" : name);
  check(existsSync(beside), `${beside}: no such file; name the evaluation model of the artifacts with --eval-model`);
  return beside;
}

function sameInputs(
  file: string,
  evalFile: string,
  inputs: readonly Value[],
  others: ReadonlyMap<string, Value>,
): void {
  const names = new Set(inputs.map((v) => v.name));
  for (const name of names)
    check(others.has(name), `${file}: it has no input "${name}", which ${evalFile} has; they are of different models`);
  for (const name of others.keys())
    check(
      names.has(name),
      `${evalFile}: it has no input "${name}", which ${file} has and the checkpoint does not hold; they are of different models`,
    );
}

function withPredictions(graph: Graph, parts: FoundLoss, name: string): FoundLoss {
  const values = graph.nodes.flatMap((n) => n.outputs.filter((o) => o !== null));
  const predictions = values.find((v) => v.name === name);
  if (!predictions) {
    const names = values.map((v) => v.name);
    throw new UserError(`--logits "${name}": the evaluation model has no such value${didYouMean(name, names)}`);
  }
  return predictions === parts.predictions ? parts : { ...parts, predictions, kind: "other" };
}

/** Dimensions that are left open though a weight fixes them: artifacts are made of models that say so, too. */
function narrowInputs(graph: Graph, inputs: ReadonlySet<Value>): void {
  for (const node of graph.nodes) {
    const [x, w] = node.inputs;
    const [rank, dims] = [x?.shape?.length ?? 0, w?.shape ?? []];
    if (!x || !inputs.has(x) || rank < 2) continue;
    let at = -1;
    let size: Dim | undefined;
    if (node.op === "Gemm") [at, size] = [node.int("transA", 0) ? 0 : 1, dims[node.int("transB", 0) ? 1 : 0]];
    else if (node.op === "MatMul" && dims.length >= 2) [at, size] = [rank - 1, dims.at(-2)];
    else if (node.op === "Conv" && node.int("group", 1) === 1) [at, size] = [1, dims[1]];
    if (typeof size !== "number") continue;
    const fixed = size;
    x.type = tensorType(
      x.dtype,
      x.dims.map((d, i) => (i === at && typeof d === "string" ? fixed : d)),
    );
  }
}

/**
 * Exporters give the labels a symbol of their own for the batch; here they get the dimensions of what they are compared
 * with, which the runtime tells.
 */
async function alignLabels(
  model: Model,
  { labels, predictions, node }: FoundLoss,
  inputs: readonly Value[],
): Promise<void> {
  const shape = labels?.shape;
  if (!labels || !shape || !predictions?.producer) return;
  const graph = new Graph("predictions");
  graph.inputs = inputs.filter((v) => v !== labels);
  graph.initializers = new Map(model.graph.initializers);
  graph.nodes = [...model.graph.nodes];
  graph.outputs = [predictions];
  dce(graph);
  await probeTypes({ ...model, graph });
  const dims = predictions.shape?.filter((_, i) => !node || i !== 1);
  if (dims?.length !== shape.length || dims.some((d) => isUnknown(d))) return;
  labels.type = tensorType(labels.dtype, dims);
}

const isUnknown = (d: Dim): boolean => typeof d === "string" && d.startsWith("?");

function artifactLoss(graph: Graph, parts: FoundLoss): ArtifactLoss & { known: ArtifactLoss["known"] } {
  const { node, labels, predictions, kind } = parts;
  const weights =
    node && labels && node.string("reduction", "mean") === "mean"
      ? { ignoreIndex: node.int("ignore_index"), classes: classWeights(graph, node.inputs[2]) }
      : null;
  const value = must(graph.outputs[0], "the loss");
  const options = kind === "other" ? null : lossOptions(kind, predictions?.dims.length ?? 0, weights);
  const known = options && predictions ? { options, logits: predictions, output: outputName(predictions) } : null;
  return { kind: "artifact", value, labels, known, weights };
}

function lossOptions(
  kind: Exclude<FoundLoss["kind"], "other">,
  rank: number,
  weights: ArtifactLoss["weights"],
): LossOptions | null {
  if (kind !== "cross-entropy") return { kind };
  // Packages have the classes in the last dimension, ONNX in the second.
  if (rank !== 2) return null;
  return {
    kind,
    ...(weights?.ignoreIndex !== undefined && { ignoreIndex: weights.ignoreIndex }),
    ...(weights?.classes && { classWeights: weights.classes.numbers() }),
  };
}

const classWeights = (graph: Graph, v: Value | null | undefined): Tensor | undefined =>
  v ? constantTensor(graph, v) : undefined;

/** What the package outputs: further outputs of the evaluation model, and what its loss compares with the labels. */
function outputsOf(graph: Graph, { predictions }: FoundLoss): Map<string, Value> {
  const values = [...graph.outputs.slice(1)];
  if (predictions && !values.includes(predictions)) values.push(predictions);
  return new Map(values.map((v) => [outputName(v), v]));
}

const outputName = (v: Value): string => (v.name === "labels" ? "labels_output" : v.name);

/** Simplifies a typed graph down to `outputs`; parameters that nothing reads any more stay. */
function tidy(graph: Graph, outputs: readonly Value[]): void {
  const kept = [...graph.initializers].filter(([, t]) => t.dtype === "float32");
  graph.outputs = [...outputs];
  staticReshapes(graph);
  simplify(graph);
  slicesToSplits(graph);
  for (const [value, tensor] of kept) if (!graph.initializers.has(value)) graph.initializers.set(value, tensor);
}

function describeParameters(
  values: readonly Value[],
  gradients: ReadonlyMap<string, Value>,
  options: Omit<SourceOptions, "loss">,
): Parameter[] {
  const all = values.map((value): Parameter => {
    const { name } = value;
    const group = options.group?.(name) ?? "default";
    return { name, value, initializer: name, transposed: false, trainable: false, group };
  });
  options.checkNames?.(all.map((p) => p.name));
  selectTrainable(
    all.filter((p) => gradients.has(p.name)),
    options,
  );
  return all;
}
