import type { Graph, Node, Value } from "../ir/graph.js";
import { UserError, check } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";
import { findBuffers } from "./batch_norm.js";
import { findDropouts } from "./dropout.js";
import type { LossOptions } from "./losses.js";
import type { LossSpec, Source } from "./objective.js";
import { findParameters, refuseDeadEnds, selectTrainable } from "./parameters.js";
import { refuseRepeats } from "./scatters.js";
import type { TrainModeOptions } from "./train_mode.js";

/** What to train of a model, and towards what. */
export interface SourceOptions {
  /** The loss to add on top of `logits`, or the model's own. */
  loss: ({ logits?: string } & LossOptions) | { kind: "output"; output: string };
  train?: (name: string) => boolean;
  freeze?: (name: string) => boolean;
  /** Whether steps move the running statistics of batch norms in training mode; by default they do. */
  batchNormStatistics?: "update" | "freeze";
  /** Sees the names of all parameters before any is selected; may throw where a pattern fits none of them. */
  checkNames?: (names: readonly string[]) => void;
  /** Put back first what exporters take out of a model in evaluation mode. */
  trainMode?: TrainModeOptions;
  /** Group of a parameter by its name; "default" where none is given. */
  group?: (name: string) => string;
}

/** Names that training packages give to graph inputs and outputs of their own. */
export const reserved = /^(grad|hvp|z|next|perturbed|perturbed_grad|hyper|random|state|curvature)\//;

/** Looks up what the options name in a typed graph. Throws a UserError for each thing that is not there or cannot be. */
export function findSource(graph: Graph, options: SourceOptions): Source {
  const loss = findLoss(graph, options);
  const target = loss.kind === "computed" ? loss.logits : loss.value;
  const parameters = findParameters(graph, [target]);
  if (parameters.length === 0) refuseDeadEnds(graph, [target]);
  refuseRepeats(
    graph,
    parameters.map((p) => p.value),
    target,
  );
  options.checkNames?.(parameters.map((p) => p.name));
  selectTrainable(parameters, options);
  for (const p of parameters) p.group = options.group?.(p.name) ?? "default";
  const inputs = new Map<string, Value>();
  for (const v of graph.inputs) {
    if (graph.initializers.has(v)) continue;
    const name = v.name === "labels" ? "labels_input" : v.name;
    check(
      !reserved.test(name),
      `input "${v.name}": names under "${name.split("/")[0] ?? ""}/" belong to training packages; rename it`,
    );
    inputs.set(name, v);
  }
  const buffers = findBuffers(graph);
  const moved = new Set(buffers.map((f) => f.moved));
  const outputs = new Map<string, Value>();
  for (const v of graph.outputs) {
    if ((loss.kind === "output" && v === loss.value) || moved.has(v)) continue;
    outputs.set(v.name === "labels" ? "labels_output" : v.name, v);
  }
  for (const p of parameters) {
    check(!inputs.has(p.name), `"${p.name}" is the name of an input and of a parameter; rename one of them`);
    check(!reserved.test(p.name), `parameter "${p.name}": its name belongs to training packages; rename it`);
  }
  for (const { name } of buffers) {
    check(!inputs.has(name), `"${name}" is the name of an input and of a running statistic; rename one of them`);
    check(!reserved.test(name), `running statistic "${name}": its name belongs to training packages; rename it`);
  }
  const movesBuffers = options.batchNormStatistics !== "freeze";
  return { graph, inputs, outputs, parameters, dropouts: findDropouts(graph), buffers, movesBuffers, loss };
}

function findLoss(graph: Graph, { loss }: SourceOptions): LossSpec {
  if (loss.kind === "output") {
    const value = named(graph, loss.output, "--loss-output");
    const size = (value.shape ?? []).reduce<number>((n, d) => (d === 1 ? n : NaN), 1);
    check(size === 1, `output "${loss.output}" has shape [${value.dims.join(", ")}]; a loss is a scalar`);
    return { kind: "output", value };
  }
  const { logits: name, ...options } = loss;
  const floats = graph.outputs.filter((v) => v.type?.kind === "tensor" && v.dtype.startsWith("float"));
  if (name === undefined) {
    const [only, second] = floats;
    if (!only) {
      throw new UserError(
        `no output of the model is floating-point: ${graph.outputs.map(described).join(", ")}; make an output of the logits`,
      );
    }
    if (second) {
      const names = floats.map((v) => v.name).join(", ");
      throw new UserError(
        `the model has ${floats.length} floating-point outputs (${names}); name the logits with --logits`,
      );
    }
    return { kind: "computed", options, logits: trainable(only) };
  }
  return { kind: "computed", options, logits: named(graph, name, "--logits") };
}

function named(graph: Graph, name: string, flag: string): Value {
  const value = graph.output(name);
  if (value) return trainable(value);
  const names = graph.outputs.map((v) => v.name);
  throw new UserError(
    `${flag} "${name}": the model has no such output; it has ${names.join(", ")}${didYouMean(name, names)}`,
  );
}

/** `output "y" of Cast "/cast" is int64`. */
function described(v: Value): string {
  const of = v.producer ? ` of ${v.producer.label}` : "";
  return `output "${v.name}"${of} is ${v.type?.kind === "tensor" ? v.type.dtype : (v.type?.kind ?? "of no known type")}`;
}

/** The output itself; throws a UserError where it cannot be trained towards. */
export function trainable(v: Value): Value {
  check(v.type?.kind === "tensor" && v.dtype === "float32", () => `${described(v)}; training needs float32 models`);
  check(v.shape, () => {
    const from = sourceOfRank(v);
    const why =
      from?.op === "If"
        ? `${from.label} gives different ranks in its branches; make them agree`
        : `that of ${from ? from.label : "an input"} is not; give its shape in the export`;
    return `output "${v.name}": its rank is not known, since ${why}`;
  });
  return v;
}

/** Where an unknown rank comes from: the first node on the way to `v` all of whose operands have known ones. */
function sourceOfRank(v: Value): Node | null {
  const node = v.producer;
  const unknown = node?.inputs.find((input) => input?.type?.kind === "tensor" && !input.shape);
  return unknown?.producer ? sourceOfRank(unknown) : node;
}
