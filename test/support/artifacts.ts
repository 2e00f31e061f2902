/** Training artifacts of ONNX Runtime: run as they are on its own training kernels, and as the project lowers them. */
import { fork } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Tensor } from "onnxruntime-node";
import { compose } from "../../src/optim/compose.js";
import { loadArtifact } from "../../src/pack/artifact.js";
import { gradientGraph } from "../../src/pack/phases.js";
import type { Source } from "../../src/frontend/objective.js";
import { trainingPorts } from "../../src/frontend/training_graph.js";
import { tensorType, type Graph, type Model, type Value } from "../../src/ir/graph.js";
import { loadModel, serializeModel } from "../../src/serde/index.js";
import { must } from "../../src/util/assert.js";
import { uniform } from "../ops/check_sample.js";
import type { Feed } from "./run_graph.js";
import { root, shared } from "./root.js";
import { runOnTrainingBuild, type TrainingRequest, type TrainingResults } from "./training_process.js";

export interface Artifact {
  name: string;
  training: string;
  checkpoint: string;
}

const fixtures = join(root, "test", "fixtures", "ort-artifacts");

/** The artifact of that name among the fixtures. */
export const artifactOf = (name: string): Artifact => ({
  name,
  training: join(fixtures, name, "training_model.onnx"),
  checkpoint: join(fixtures, name, "checkpoint"),
});

/** The committed artifacts, and those of the shared data where it is there. */
export function artifacts(): Artifact[] {
  const own = readdirSync(fixtures).map(artifactOf);
  const others = [
    ["conv1d", "checkpoint"],
    ["mlp", "checkpoint.ckpt"],
  ].flatMap(([name = "", checkpoint = ""]) => {
    const folder = shared(`ort-artifacts/${name}`);
    return folder && existsSync(folder)
      ? [
          {
            name: `shared ${name}`,
            training: join(folder, "training_model.onnx"),
            checkpoint: join(folder, checkpoint),
          },
        ]
      : [];
  });
  return [...own, ...others];
}

/** A lowered artifact: its source, the graph of its gradient and Hessian-vector product, and values for all it reads. */
export interface Lowered {
  source: Source;
  graph: Graph;
  feeds: Map<string, Feed>;
}

const sizes: Readonly<Record<string, number>> = { batch: 3, batch_size: 3, sequence: 7, "input-0_dim0": 3 };

export async function lower({ name, training, checkpoint }: Artifact): Promise<Lowered> {
  const { source } = await loadArtifact(training, { checkpoint }, {});
  const optimizer = compose("curvsam", "sgd");
  const graph = gradientGraph({ source, optimizer, groupedHyper: new Set() }, "ascent");
  const random = uniform(name);
  const draw = (dims: readonly (number | string)[], value: () => number): { dims: number[]; data: Float64Array } => {
    const fixed = dims.map((d) => (typeof d === "number" ? d : must(sizes[d], `a size of ${d}`)));
    return { dims: fixed, data: Float64Array.from({ length: fixed.reduce((n, d) => n * d, 1) }, value) };
  };
  const feeds = new Map<string, Feed>();
  const classes = [...source.outputs.values()][0]?.dims.at(-1);
  for (const v of graph.inputs) {
    const given = source.graph.initializers.get(must(source.parameters.find((p) => p.name === v.name)?.value ?? v, ""));
    if (given) feeds.set(v.name, { dtype: "float32", dims: given.dims, data: given.float32() });
    else if (source.buffers.some((f) => f.name === v.name))
      feeds.set(v.name, { dtype: "float32", ...draw(v.dims, () => 1 + random()) });
    else if (v.dtype === "int64") {
      const below = v.name === "labels" ? Number(classes) : v.name.includes("mask") ? 1 : 40;
      const ids = draw(v.dims, () => Math.floor(random() * below) + (below === 1 ? 1 : 0));
      feeds.set(v.name, { dtype: "int64", dims: ids.dims, data: BigInt64Array.from(Array.from(ids.data, BigInt)) });
    } else if (!v.name.startsWith("random/"))
      feeds.set(v.name, {
        dtype: "float32",
        ...draw(v.dims, () => (v.name === "labels" ? random() : 2 * random() - 1)),
      });
  }
  return { source, graph, feeds };
}

/** What the training graph itself computes, on ONNX Runtime's training kernels: by name, and the masks of its dropouts. */
export async function onTrainingKernels(
  { training }: Artifact,
  { source, feeds }: Lowered,
): Promise<{ values: ReadonlyMap<string, Float32Array>; masks: readonly Feed[] }> {
  const model = loadModel(training);
  const { graph } = model;
  const { loss, gradients, inputs } = trainingPorts(graph, training);
  const masks = graph.nodes.filter((n) => n.op === "Dropout").map((n) => must(n.outputs[1], `a mask of ${n.label}`));
  graph.nodes = graph.nodes.filter((n) => n.op !== "InPlaceAccumulatorV2");
  graph.inputs = [...inputs];
  graph.outputs = [loss, ...gradients.values(), ...masks];
  for (const v of [...graph.inputs, ...graph.nodes.flatMap((n) => n.outputs)]) if (v) fixSizes(v);
  const labels = source.training?.labels?.name;
  const given = new Map([...feeds].map(([name, feed]) => [name === "labels" ? (labels ?? name) : name, feed]));
  const results = await onTrainingBuild(model, given);
  const data = (name: string): Float32Array => must(results.get(name), name).data as Float32Array;
  const values = new Map([...gradients].map(([name, v]) => [`grad/${name}`, data(v.name)]));
  values.set("loss", data(loss.name));
  return {
    values,
    masks: masks.map((m) => {
      const { dims, data } = must(results.get(m.name), m.name);
      return { dtype: "bool", dims, data: Uint8Array.from(data as Uint8Array) };
    }),
  };
}

/**
 * Runs a model, unlowered, on ONNX Runtime's last training build; results by name. In a process that has run many other things,
 * that build can trap in a pooling kernel ("function signature mismatch") that gives its result in a new process, in every new
 * instance there: so a trap is tried once more in a process of its own.
 */
export async function onTrainingBuild(
  model: Model,
  feeds: ReadonlyMap<string, Feed>,
): Promise<ReadonlyMap<string, Pick<Tensor, "dims" | "data">>> {
  const given = model.graph.inputs.map((v) => {
    const { type, dims, data } = toWasm(must(feeds.get(v.name), `a value of ${v.name}`), v.dtype);
    return [v.name, { type, dims: [...dims], data }] as const;
  });
  const outputs = model.graph.outputs.map((v) => v.name);
  const request = { model: serializeModel(model), feeds: Object.fromEntries(given), outputs };
  try {
    return new Map(Object.entries(await runOnTrainingBuild(request)));
  } catch (error) {
    if (!(error instanceof Error && error.name === "RuntimeError")) throw error;
    return new Map(Object.entries(await inNewProcess(request)));
  }
}

function inNewProcess(request: TrainingRequest): Promise<TrainingResults> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL("./training_process.js", import.meta.url), { serialization: "advanced" });
    child.once("message", resolve as (message: unknown) => void);
    child.once("exit", (code) => reject(new Error(`the process of the training build ended with ${String(code)}`)));
    child.send(request);
  });
}

/** The kernel of AveragePoolGrad reads the shape of its output off the types in the file, and divides by what is open there. */
function fixSizes(v: Value): void {
  if (v.type?.kind !== "tensor" || !v.type.shape) return;
  const shape = v.type.shape.map((d) => (typeof d === "string" ? (sizes[d] ?? d) : d));
  v.type = tensorType(v.type.dtype, shape);
}

function toWasm({ data, dims }: Feed, dtype: string): Tensor {
  if (dtype === "int32") return new Tensor("int32", Int32Array.from(Array.from(data as BigInt64Array, Number)), dims);
  if (dtype === "int64") return new Tensor("int64", data as BigInt64Array, dims);
  if (dtype === "bool") return new Tensor("bool", data as Uint8Array, dims);
  return new Tensor("float32", Float32Array.from(data as Float64Array), dims);
}
