import { int, Node, tensorType, Value, type Graph } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { trainsBatchNorm } from "../ops/BatchNormalization.js";
import { UserError } from "../util/assert.js";
import { dropoutSettings } from "./dropout.js";
import { anonymous } from "./parameters.js";
import { places, type Place } from "./places.js";
import { modulePath } from "./scopes.js";
import { findSites, type Site } from "./transformer.js";

export interface TrainModeOptions {
  /** Probability of the dropouts that are put in. */
  dropout?: number;
  /** Where dropouts are put in; by default everywhere that a pattern finds. */
  dropoutAt?: readonly Place[];
}

/** One thing that was put back. */
export interface Restored {
  kind: "batch-norm" | "dropout";
  node: string;
  /** One line for people. */
  message: string;
}

const fusedAttentions = new Set(["Attention", "MultiHeadAttention", "GroupQueryAttention"]);

/**
 * Puts back, in place, what exporters take out of a model in evaluation mode: batch norms go by the statistics of their
 * batch, dropouts that are switched off are switched on, and transformer blocks that have none get theirs. Needs a typed
 * graph. Returns what was done, in graph order.
 *
 * Throws a UserError where something is missing: batch norms that were folded into convolutions, attentions in one node,
 * or nothing to restore.
 */
export function restoreTraining(graph: Graph, options: TrainModeOptions = {}): Restored[] {
  refuseFolded(graph);
  const ratio = options.dropout ?? 0.1;
  const restored = [...restoreBatchNorms(graph), ...switchOn(graph)];
  if (ratio > 0) restored.push(...insertDropouts(graph, ratio, new Set(options.dropoutAt ?? places)));
  if (restored.length === 0) {
    throw new UserError(
      "--train-mode: nothing to restore: the model has no batch norm, no dropout and no transformer block that lacks one; " +
        "patch it without --train-mode, or export it in training mode",
    );
  }
  return restored;
}

const describe = (node: Node): string => {
  const path = modulePath(node);
  return path ? `${node.label} of ${path}` : node.label;
};

/** PyTorch's exporters fold batch norms in evaluation mode into the convolutions before them, whose weights lose their names. */
function refuseFolded(graph: Graph): void {
  const folded = graph.nodes.filter((n) => {
    const [weight, bias] = [n.inputs[1], n.inputs[2]];
    const lost = (v: Value | null | undefined): boolean =>
      v != null && graph.initializers.has(v) && (anonymous.test(v.name) || /(_fused|_bn|_scaled)(_\d+)?$/.test(v.name));
    return n.op === "Conv" && lost(bias) && lost(weight);
  });
  const first = folded[0];
  if (!first) return;
  const more = folded.length > 1 ? ` and ${folded.length - 1} more convolutions` : "";
  throw new UserError(
    `--train-mode: ${describe(first)}${more}: the exporter folded a batch norm into the weights ("${first.input(1).name}"), ` +
      `and its statistics are gone; export again without folding: training=TrainingMode.PRESERVE, do_constant_folding=False`,
  );
}

function restoreBatchNorms(graph: Graph): Restored[] {
  const restored: Restored[] = [];
  for (const node of graph.nodes) {
    if (node.op !== "BatchNormalization" || node.domain !== "" || trainsBatchNorm(node)) continue;
    const [mean, variance] = [node.input(3), node.input(4)];
    if (!graph.initializers.has(mean) || !graph.initializers.has(variance)) {
      throw new UserError(
        `--train-mode: ${describe(node)}: its statistics ("${mean.name}", "${variance.name}") are computed by the model, not stored in it; ` +
          "export the model again with its running statistics",
      );
    }
    node.attributes = { ...node.attributes, training_mode: int(1) };
    const message = `${describe(node)}: by the statistics of the batch, which move "${mean.name}" and "${variance.name}"`;
    restored.push({ kind: "batch-norm", node: node.name, message });
  }
  return restored;
}

/** Dropouts that the exporter left in evaluation mode, with their own probability. */
function switchOn(graph: Graph): Restored[] {
  const restored: Restored[] = [];
  for (const node of graph.nodes) {
    if (node.op !== "Dropout" || node.domain !== "") continue;
    const { ratio, training } = dropoutSettings(graph, node);
    if (training || ratio === 0) continue;
    const kept = node.inputs[1] ?? scalar(graph, `${node.output().name}::ratio`, "float32", ratio);
    node.inputs = [node.input(0), kept, scalar(graph, `${node.output().name}::training`, "bool", 1)];
    restored.push({
      kind: "dropout",
      node: node.name,
      message: `${describe(node)}: switched on, with its own ${ratio}`,
    });
  }
  return restored;
}

const meanings: Readonly<Record<Place, string>> = {
  embeddings: "behind the embeddings",
  attention: "on the probabilities of the attention",
  "attention-output": "on the output of the attention",
  "feed-forward": "on the output of the feed-forward layer",
  classifier: "before the classifier",
};

function insertDropouts(graph: Graph, ratio: number, at: ReadonlySet<Place>): Restored[] {
  const fused = graph.nodes.find((n) => fusedAttentions.has(n.op));
  if (fused && at.has("attention")) {
    throw new UserError(
      `--train-mode: ${describe(fused)}: an attention in one node, into which no dropout can be put; ` +
        'export again with attn_implementation="eager", or leave attention out of --dropout-at',
    );
  }
  const restored: Restored[] = [];
  for (const site of findSites(graph)) {
    if (!at.has(site.place) || hasDropout(site)) continue;
    const node = insertDropout(graph, site, ratio);
    const of = site.path ? ` of ${site.path}` : ` ("${site.value.name}")`;
    restored.push({ kind: "dropout", node: node.name, message: `Dropout ${ratio} ${meanings[site.place]}${of}` });
  }
  return restored;
}

const hasDropout = ({ value, readers }: Site): boolean =>
  value.producer?.op === "Dropout" || readers.some((n) => n.op === "Dropout");

/** Puts a Dropout in training mode between the value of a site and its readers. */
function insertDropout(graph: Graph, { value, readers }: Site, ratio: number): Node {
  const dropped = new Value(`${value.name}::dropped`, value.type);
  const inputs = [
    value,
    scalar(graph, `${dropped.name}::ratio`, "float32", ratio),
    scalar(graph, `${dropped.name}::training`, "bool", 1),
  ];
  const node = new Node("Dropout", inputs, [dropped], {}, {}, "", `${value.name}::Dropout`);
  for (const reader of readers) reader.inputs = reader.inputs.map((v) => (v === value ? dropped : v));
  const index = value.producer ? graph.nodes.indexOf(value.producer) + 1 : 0;
  graph.nodes.splice(index, 0, node);
  return node;
}

function scalar(graph: Graph, name: string, dtype: "float32" | "bool", x: number): Value {
  const value = new Value(name, tensorType(dtype, []));
  graph.initializers.set(value, Tensor.of(dtype, [], [x]));
  return value;
}
