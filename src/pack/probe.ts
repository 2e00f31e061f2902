import { InferenceSession } from "onnxruntime-node";
import { sequenceOps } from "../convert/index.js";
import { Graph, Node, Value, newModel, tensorType, type Model } from "../ir/graph.js";
import { serializeModel } from "../serde/index.js";
import { UserError, must } from "../util/assert.js";
import type { DType } from "../util/dtype.js";
import { freshDim, type Dim } from "../util/shape.js";

/** Sizes of the k-th dynamic dimension in each of three probes: distinct, small, and no two in one ratio. */
const sizes: readonly (readonly number[])[] = [
  [3, 5, 2, 7, 11, 13, 17, 19],
  [7, 3, 5, 2, 13, 11, 19, 23],
  [5, 11, 3, 13, 2, 7, 23, 17],
];

type Shapes = ReadonlyMap<string, { dtype: DType; dims: readonly (number | null)[] | null }>;

/** Weights above this many bytes are inputs of the probe: their values decide no shape. */
const weightBytes = 4096;

/**
 * Types every value of `model.graph` by asking the runtime: the graph is opened at three sets of sizes of its dynamic
 * dimensions with every value an output, and equal triples of sizes are one symbol. Products of the inputs' symbols are
 * named as such (`batch*sequence`); what the runtime does not know stays a symbol of its own.
 *
 * Throws a UserError with the runtime's words where it refuses the model.
 */
export async function probeTypes(model: Model): Promise<void> {
  const graph = model.graph;
  const symbols = dynamicDims(graph);
  if (symbols.length > (sizes[0]?.length ?? 0)) {
    throw new UserError(
      `the model has ${symbols.length} dynamic dimensions; at most ${sizes[0]?.length ?? 0} are supported: fix some of them at export`,
    );
  }
  const rounds = symbols.length === 0 ? 1 : sizes.length;
  const probes: Shapes[] = [];
  for (let round = 0; round < rounds; round++) probes.push(await probe(model, symbols, sizes[round] ?? []));
  const names = new SymbolTable(symbols, rounds);
  for (const node of graph.nodes) {
    for (const o of node.outputs) {
      if (!o) continue;
      const seen = probes.map((p) => p.get(o.name));
      const first = seen[0];
      if (!first) continue;
      o.type = tensorType(first.dtype, names.shape(seen.map((s) => s?.dims ?? null)));
    }
  }
}

/** The symbols of the graph's own inputs; unknown dimensions get names after their input. */
function dynamicDims(graph: Graph): string[] {
  const symbols = new Set<string>();
  for (const input of graph.inputs) {
    if (graph.initializers.has(input) || input.type?.kind !== "tensor") continue;
    if (!input.type.shape)
      throw new UserError(`input "${input.name}" has no shape; export the model with shapes for its inputs`);
    const shape = input.type.shape.map((d, i) =>
      typeof d === "number" || !d.startsWith("?") ? d : `${input.name}_dim${i}`,
    );
    input.type = tensorType(input.type.dtype, shape);
    for (const d of shape) if (typeof d === "string") symbols.add(d);
  }
  return [...symbols];
}

async function probe(model: Model, symbols: readonly string[], at: readonly number[]): Promise<Shapes> {
  const source = model.graph;
  const fixed = (d: Dim): Dim => (typeof d === "string" ? must(at[symbols.indexOf(d)], d) : d);
  const graph = new Graph(source.name);
  const saved: [Value, Value["type"]][] = [];
  for (const input of source.inputs) {
    if (source.initializers.has(input)) continue;
    graph.inputs.push(input);
    if (input.type?.kind !== "tensor") continue;
    saved.push([input, input.type]);
    input.type = tensorType(input.type.dtype, (input.type.shape ?? []).map(fixed));
  }
  for (const [value, tensor] of source.initializers) {
    if (tensor.byteLength > weightBytes && value.type?.kind === "tensor" && value.type.dtype !== "string")
      graph.inputs.push(value);
    else graph.initializers.set(value, tensor);
  }
  graph.nodes = [...source.nodes];
  const wanted: Value[] = [];
  for (const node of source.nodes) {
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

/** Names sizes that change together over the probes. */
class SymbolTable {
  private readonly known = new Map<string, Dim>();
  constructor(
    symbols: readonly string[],
    private readonly rounds: number,
  ) {
    const tuple = (i: number): number[] => sizes.slice(0, rounds).map((s) => s[i] ?? 0);
    const add = (values: readonly number[], name: string): void => {
      const key = values.join(",");
      if (!this.known.has(key)) this.known.set(key, name);
    };
    symbols.forEach((s, i) => add(tuple(i), s));
    symbols.forEach((s, i) =>
      symbols.slice(i).forEach((t, j) => {
        const other = tuple(i + j);
        add(
          tuple(i).map((d, k) => d * (other[k] ?? 0)),
          [s, t].sort().join("*"),
        );
      }),
    );
  }

  shape(seen: readonly (readonly (number | null)[] | null)[]): Dim[] | null {
    const first = seen[0];
    if (!first || seen.some((s) => s?.length !== first.length)) return null;
    return first.map((_, axis) => this.dim(seen.map((s) => s?.[axis] ?? null)));
  }

  private dim(values: readonly (number | null)[]): Dim {
    const known = values.filter((v) => v !== null);
    const first = known[0];
    if (known.length < this.rounds || first === undefined) return freshDim();
    if (known.every((v) => v === first)) return first;
    const key = known.join(",");
    let name = this.known.get(key);
    if (name === undefined) this.known.set(key, (name = this.multiple(known) ?? `dim${this.known.size}`));
    return name;
  }

  /** c times a known symbol, as `symbol*c`. */
  private multiple(values: readonly number[]): string | undefined {
    for (const [key, name] of this.known) {
      const base = key.split(",").map(Number);
      const c = (values[0] ?? 0) / (base[0] ?? 1);
      if (Number.isInteger(c) && c > 1 && values.every((v, i) => v === c * (base[i] ?? 0))) return `${name}*${c}`;
    }
    return undefined;
  }
}
