import { InferenceSession } from "onnxruntime-node";
import { sequenceOps } from "../convert/index.js";
import { Graph, Node, Value, newModel, tensorType, type Model } from "../ir/graph.js";
import type { Tensor } from "../ir/tensor.js";
import { serializeModel } from "../serde/index.js";
import { UserError, must } from "../util/assert.js";
import type { DType } from "../util/dtype.js";
import { freshDim, type Dim } from "../util/shape.js";
import type { SizeAt } from "./probe_symbols.js";

/** Nodes to be typed, and what they read: typed values, and constants. */
export interface Frame {
  readonly inputs: readonly Value[];
  readonly initializers: ReadonlyMap<Value, Tensor>;
  readonly nodes: readonly Node[];
}

export type Shapes = ReadonlyMap<string, { dtype: DType; dims: readonly (number | null)[] | null }>;

/** Weights above this many bytes are inputs of the probe: their values decide no shape. */
const weightBytes = 4096;

/** The shape of every value that the nodes of `frame` make, at one set of sizes. */
export async function observe(model: Model, frame: Frame, sizeAt: SizeAt): Promise<Shapes> {
  // The runtime opens no graph without nodes.
  if (frame.nodes.length === 0) return new Map();
  const fixed = (d: Dim): Dim => sizeAt(d) ?? freshDim();
  const graph = new Graph(model.graph.name);
  const saved: [Value, Value["type"]][] = [];
  for (const input of frame.inputs) {
    graph.inputs.push(input);
    if (input.type?.kind !== "tensor") continue;
    saved.push([input, input.type]);
    input.type = tensorType(input.type.dtype, input.type.shape && input.type.shape.map(fixed));
  }
  for (const [value, tensor] of frame.initializers) {
    if (tensor.byteLength > weightBytes && value.type?.kind === "tensor" && value.type.dtype !== "string")
      graph.inputs.push(value);
    else graph.initializers.set(value, tensor);
  }
  graph.nodes = [...frame.nodes];
  const wanted: Value[] = [];
  for (const node of frame.nodes) {
    for (const o of node.outputs) {
      if (!o) continue;
      if (isTensor(node, o)) wanted.push(o);
      saved.push([o, o.type]);
      o.type = null;
    }
  }
  graph.outputs = [...wanted];
  const shapeNames = new Map<string, string>();
  wanted.forEach((v, i) => {
    const shape = new Value(`probe::shape${i}`, null);
    graph.nodes.push(new Node("Shape", [v], [shape]));
    shapeNames.set(v.name, shape.name);
  });
  try {
    const first = await open(model, graph);
    const scalars = [...first]
      .filter(([name, s]) => s.dims?.length === 0 && shapeNames.has(name))
      .map(([name]) => name);
    if (scalars.length === 0) return first;
    return await tellScalars(model, graph, first, scalars, shapeNames);
  } finally {
    for (const [value, type] of saved) value.type = type;
  }
}

/** Sequences and optionals have no shape to ask for. */
const isTensor = (node: Node, output: Value): boolean =>
  !(node.domain === "" && sequenceOps.has(node.op)) && (output.type === null || output.type.kind === "tensor");

/** An unknown rank reads as `[]`; its `Shape` has an unknown length, a scalar's has length 0. */
async function tellScalars(
  model: Model,
  graph: Graph,
  known: Shapes,
  scalars: readonly string[],
  shapeNames: ReadonlyMap<string, string>,
): Promise<Shapes> {
  const byName = new Map(graph.nodes.flatMap((n) => n.outputs.map((o) => [o?.name, o] as const)));
  graph.outputs = scalars.map((s) => must(byName.get(shapeNames.get(s)), s));
  const lengths = await open(model, graph);
  const result = new Map(known);
  for (const name of scalars) {
    const length = lengths.get(shapeNames.get(name) ?? "")?.dims?.[0];
    const entry = must(known.get(name), name);
    result.set(name, { dtype: entry.dtype, dims: length === 0 ? [] : null });
  }
  return result;
}

async function open(model: Model, graph: Graph): Promise<Shapes> {
  const bytes = serializeModel({
    ...newModel(graph, 21, model.irVersion),
    opsets: model.opsets,
    functions: model.functions,
  });
  let session: InferenceSession;
  try {
    session = await InferenceSession.create(bytes, { graphOptimizationLevel: "basic", logSeverityLevel: 3 });
  } catch (error) {
    throw new UserError(`ONNX Runtime refuses the model: ${(error as Error).message.replaceAll("\n", " ")}`);
  }
  const shapes = new Map<string, { dtype: DType; dims: (number | null)[] | null }>();
  for (const m of session.outputMetadata) {
    if (!m.isTensor) continue;
    const dims = m.shape.map((d) => (typeof d === "number" && d >= 0 ? d : null));
    shapes.set(m.name, { dtype: m.type, dims });
  }
  await session.release();
  return shapes;
}
