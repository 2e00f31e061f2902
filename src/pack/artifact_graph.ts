import { ruleContext } from "../autodiff/context.js";
import { giveShapes, lowerTraining, refuseUnknownOps, typeTwin } from "../convert/training/index.js";
import type { TrainingGraph } from "../frontend/artifact.js";
import type { Buffer } from "../frontend/batch_norm.js";
import { findDropouts } from "../frontend/dropout.js";
import type { TrainingPorts } from "../frontend/training_graph.js";
import { Value, type Graph, type Model } from "../ir/graph.js";
import { newBuilder } from "../ops/builder.js";
import { simplify } from "../passes/simplify.js";
import { slicesToSplits } from "../passes/split.js";
import { staticReshapes } from "../passes/static_reshapes.js";
import { must } from "../util/assert.js";
import { probeTypes } from "./probe.js";

const batchNorm = "BatchNormInternal";

/**
 * Makes inputs of running statistics that the artifacts hold as constants: training moves them. Gives the names of all.
 */
export function promoteStatistics(graph: Graph): Set<string> {
  const names = new Set<string>();
  for (const node of graph.nodes) {
    if (node.op !== batchNorm) continue;
    for (const v of [node.input(3), node.input(4)]) {
      names.add(v.name);
      if (!graph.initializers.delete(v)) continue;
      graph.inputs.push(v);
    }
  }
  return names;
}

/**
 * The artifact generator takes batch norms out of training mode and leaves them the outputs that they have only there.
 */
export function dropMovedStatistics(graph: Graph): void {
  for (const node of graph.nodes)
    if (node.op === "BatchNormalization" && node.int("training_mode", 0) === 0) node.outputs.length = 1;
}

/** New values of running statistics in the training graph, by the name of the old ones. */
function movedStatistics(graph: Graph): Map<string, Value> {
  const moved = new Map<string, Value>();
  for (const node of graph.nodes) {
    if (node.op !== batchNorm) continue;
    for (const i of [1, 2]) {
      const old = node.input(i + 2);
      let value = node.outputs[i];
      if (!value) {
        value = new Value(`${old.name}::moved`, old.type);
        value.producer = node;
        node.outputs[i] = value;
      }
      moved.set(old.name, value);
    }
  }
  return moved;
}

export interface LoweredArtifact {
  graph: Omit<TrainingGraph, "inputs" | "labels" | "parameters">;
  /** The input of the lowered graph that has a name. */
  input: (name: string) => Value;
  /** Running statistics: initializers of the evaluation graph, and their new values here. */
  buffers: Buffer[];
}

/** Types the training graph with the runtime's help, and writes it in standard operators. */
export async function lowerArtifact(of: {
  training: Model;
  file: string;
  ports: TrainingPorts;
  evaluation: Graph;
  outputs: Iterable<string>;
}): Promise<LoweredArtifact> {
  const { training, ports, evaluation } = of;
  const { graph } = training;
  refuseUnknownOps(graph, of.file);
  giveShapes(graph);
  const statistics = [...movedStatistics(graph)].flatMap(([name, moved]) => {
    const value = [...evaluation.initializers.keys()].find((v) => v.name === name);
    return value ? [{ name, value, moved }] : [];
  });
  const made = new Map(graph.nodes.flatMap((n) => n.outputs).flatMap((v) => (v ? [[v.name, v] as const] : [])));
  const outputs = [...of.outputs].flatMap((name) => {
    const value = made.get(name);
    return value ? [[name, value] as const] : [];
  });
  graph.outputs = [
    ports.loss,
    ...ports.gradients.values(),
    ...statistics.map((s) => s.moved),
    ...outputs.map(([, v]) => v),
  ];
  const { twin, apply } = typeTwin(training);
  await probeTypes(twin);
  apply();

  const b = newBuilder("training");
  const inputs = graph.inputs.filter((v) => !graph.initializers.has(v));
  const copies = lowerTraining(ruleContext(b), graph, inputs, graph.outputs);
  graph.outputs.forEach((v, i) => b.output(must(copies.get(v), v.name), `training/${i}`));
  const lowered = b.graph;
  staticReshapes(lowered);
  simplify(lowered);
  slicesToSplits(lowered);
  const [loss, ...rest] = lowered.outputs;
  const take = (n: number): Value[] => rest.splice(0, n);
  const gradients = take(ports.gradients.size);
  const moved = take(statistics.length);
  return {
    graph: {
      graph: lowered,
      loss: must(loss, "the loss"),
      gradients: new Map([...ports.gradients.keys()].map((name, i) => [name, must(gradients[i], name)])),
      outputs: new Map(outputs.map(([name], i) => [name, must(rest[i], name)])),
      dropouts: findDropouts(lowered, { masksAreRead: true }),
    },
    input: (name) => must(lowered.input(name), `the input "${name}"`),
    buffers: statistics.map(({ name, value }, i) => ({ name, value, moved: must(moved[i], name) })),
  };
}
