import { InferenceSession } from "onnxruntime-node";
import { sequenceOps } from "../convert/index.js";
import { Graph, Node, Value, newModel, tensorType, type Model } from "../ir/graph.js";
import type { Tensor } from "../ir/tensor.js";
import { serializeModel } from "../serde/index.js";
import { must } from "../util/assert.js";
import type { DType } from "../util/dtype.js";
import { freshDim, type Dim } from "../util/shape.js";
import { partsOf } from "./probe_parts.js";
import { refusalOf } from "./refusal.js";
import type { SizeAt } from "./probe_symbols.js";

/** Nodes to be typed, and what they read: typed values, and constants. */
export interface Frame {
  readonly inputs: readonly Value[];
  readonly initializers: ReadonlyMap<Value, Tensor>;
  readonly nodes: readonly Node[];
}

/** What the runtime knows of a value; null where it does not know the rank, or a size. */
export interface Shape {
  dtype: DType;
  dims: readonly (number | null)[] | null;
}
export type Shapes = ReadonlyMap<string, Shape>;

/** Weights above this many bytes are inputs of the probe: their values decide no shape. */
const weightBytes = 4096;

/** The shape of every value that the nodes of `frame` make, at one set of sizes; `partNodes` as in `partsOf`. */
export async function observe(model: Model, frame: Frame, sizeAt: SizeAt, partNodes?: number): Promise<Shapes> {
  const seen = new Map<string, Shape>();
  for (const part of partsOf(frame, seen, partNodes)) {
    for (const [name, shape] of await observePart(model, part, seen, sizeAt)) seen.set(name, shape);
  }
  return seen;
}

/** What `frame` makes, whose inputs have the shapes in `seen`, or their types at the sizes of `sizeAt`. */
async function observePart(model: Model, frame: Frame, seen: Shapes, sizeAt: SizeAt): Promise<Shapes> {
  // The runtime opens no graph without nodes.
  if (frame.nodes.length === 0) return new Map();
  const fixed = (d: Dim): Dim => sizeAt(d) ?? freshDim();
  const graph = new Graph(model.graph.name);
  const saved: [Value, Value["type"]][] = [];
  for (const input of frame.inputs) {
    graph.inputs.push(input);
    const known = seen.get(input.name);
    if (known) {
      saved.push([input, input.type]);
      input.type = tensorType(known.dtype, known.dims && known.dims.map((d) => d ?? freshDim()));
    } else if (input.type?.kind === "tensor") {
      saved.push([input, input.type]);
      input.type = tensorType(input.type.dtype, input.type.shape && input.type.shape.map(fixed));
    }
  }
  for (const [value, tensor] of frame.initializers) {
    if (tensor.byteLength > weightBytes && value.type?.kind === "tensor" && value.type.dtype !== "string")
      graph.inputs.push(value);
    else graph.initializers.set(value, tensor);
  }
  graph.nodes = [...frame.nodes];
  for (const node of frame.nodes) {
    for (const o of node.outputs) {
      if (!o) continue;
      if (isTensor(node, o)) graph.outputs.push(o);
      saved.push([o, o.type]);
      o.type = null;
    }
  }
  try {
    const first = await open(model, graph);
    const scalars = graph.outputs.filter((v) => first.get(v.name)?.dims?.length === 0);
    return scalars.length === 0 ? first : await tellScalars(model, graph, first, scalars);
  } finally {
    for (const [value, type] of saved) value.type = type;
  }
}

/** Sequences and optionals have no shape to ask for. */
const isTensor = (node: Node, output: Value): boolean =>
  !(node.domain === "" && sequenceOps.has(node.op)) && (output.type === null || output.type.kind === "tensor");

/** An unknown rank reads as `[]`; its `Shape` has an unknown length, a scalar's has length 0. */
async function tellScalars(model: Model, graph: Graph, known: Shapes, scalars: readonly Value[]): Promise<Shapes> {
  const nameOf = (i: number): string => `probe::shape${i}`;
  graph.outputs = scalars.map((_, i) => new Value(nameOf(i), null));
  scalars.forEach((v, i) => graph.nodes.push(new Node("Shape", [v], [must(graph.outputs[i], v.name)])));
  const lengths = await open(model, graph);
  const result = new Map(known);
  scalars.forEach(({ name }, i) => {
    const length = lengths.get(nameOf(i))?.dims?.[0];
    const { dtype } = must(known.get(name), name);
    result.set(name, { dtype, dims: length === 0 ? [] : null });
  });
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
    throw refusalOf(graph, error);
  }
  const shapes = new Map<string, Shape>();
  for (const m of session.outputMetadata) {
    if (!m.isTensor) continue;
    const dims = m.shape.map((d) => (typeof d === "number" && d >= 0 ? d : null));
    shapes.set(m.name, { dtype: m.type, dims });
  }
  await session.release();
  return shapes;
}
