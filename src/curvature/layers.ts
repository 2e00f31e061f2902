import type { Attributes, Graph, Node, Value } from "../ir/graph.js";
import { factorsOf, isStatic, sizeOf, type Dim } from "../util/shape.js";

/** A layer y = W ⋆ x (+ bias) whose curvature has Kronecker factors: where its weight is, and what it reads and gives. */
export interface Layer {
  kind: "linear" | "convolution" | "embedding";
  /** Names of its parameters. */
  weight: string;
  bias: string | null;
  /** In the source graph: activations, images or ids. */
  input: Value;
  /** In the source graph: the product, before a bias that another node adds. */
  output: Value;
  /** Rows of the weight as a matrix [inputs, outputs]: features; channels × kernel; entries. */
  inputs: number;
  outputs: number;
  /** The weight is stored with its outputs first. */
  outputsFirst: boolean;
  /** Kernel and attributes of a convolution. */
  window: { kernel: readonly number[]; attributes: Attributes } | null;
}

/** What is looked at of a parameter. */
interface Candidate {
  name: string;
  value: Value;
  trainable: boolean;
}

/**
 * The layers of `graph` whose weight is a trainable parameter that this one node reads: MatMul and Gemm with the weight on
 * the right, Conv without groups, Gather along axis 0. `batch` is the leading dimension of the batch. Weights that several
 * nodes share (tied ones), and layers that do not work example by example (position embeddings that broadcast over the
 * batch), are left out: their gradients are not sums of products aᵢsᵢᵀ over examples.
 */
export function findLayers(graph: Graph, parameters: readonly Candidate[], batch: Dim): Layer[] {
  const readers = readersOf(graph);
  const named = new Map(parameters.filter((p) => p.trainable).map((p) => [p.value, p.name]));
  const biasOf = (v: Value | null | undefined, outputs: number): string | null => {
    const fits = v?.shape?.length === 1 && v.shape[0] === outputs && readers.get(v)?.length === 1;
    return fits ? (named.get(v) ?? null) : null;
  };
  const layers: Layer[] = [];
  for (const [value, weight] of named) {
    const found = onlyReader(value, readers);
    const shape = value.shape;
    if (!found || !shape || !isStatic(shape)) continue;
    const layer = layerOf(found.node, found.as, found.swapped, shape);
    if (!layer || !worksByExample(layer.output, batch)) continue;
    const { ownBias, ...rest } = layer;
    const [next, ...others] = readers.get(layer.output) ?? [];
    const adds = layer.kind === "linear" && next?.op === "Add" && others.length === 0;
    const added = adds && !graph.outputs.includes(layer.output) ? next.inputs.find((v) => v !== layer.output) : null;
    layers.push({ ...rest, weight, bias: biasOf(ownBias ?? added, layer.outputs) });
  }
  return layers;
}

type Found = Omit<Layer, "weight" | "bias"> & { ownBias: Value | null };

/** The layer that `node` is, its weight read as `as` (swapped: through a Transpose). */
function layerOf(node: Node, as: Value, swapped: boolean, shape: readonly number[]): Found | null {
  const [first = 1, second = 1] = shape;
  const position = node.inputs.indexOf(as);
  const input = node.inputs[position === 0 ? 1 : 0];
  if (!input || node.inputs.filter((v) => v === as).length !== 1) return null;
  const output = node.output();
  const base = { input, output, window: null, ownBias: null };
  const matrix = (outputsFirst: boolean): Pick<Layer, "inputs" | "outputs" | "outputsFirst"> =>
    outputsFirst ? { inputs: second, outputs: first, outputsFirst } : { inputs: first, outputs: second, outputsFirst };
  switch (node.op) {
    case "MatMul":
      if (position !== 1 || shape.length !== 2 || (input.shape?.length ?? 0) < 2) return null;
      return { kind: "linear", ...base, ...matrix(swapped) };
    case "Gemm": {
      if (position !== 1 || shape.length !== 2 || node.int("transA", 0) !== 0) return null;
      if (node.float("alpha", 1) !== 1 || node.float("beta", 1) !== 1) return null;
      const outputsFirst = swapped !== (node.int("transB", 0) !== 0);
      return { kind: "linear", ...base, ...matrix(outputsFirst), ownBias: node.inputs[2] ?? null };
    }
    case "Conv": {
      if (position !== 1 || swapped || node.int("group", 1) !== 1) return null;
      return {
        kind: "convolution",
        ...base,
        inputs: sizeOf(shape.slice(1)),
        outputs: first,
        outputsFirst: true,
        window: { kernel: shape.slice(2), attributes: node.attributes },
        ownBias: node.inputs[2] ?? null,
      };
    }
    case "Gather":
      if (position !== 0 || swapped || shape.length !== 2 || node.int("axis", 0) !== 0) return null;
      return { kind: "embedding", ...base, ...matrix(false) };
    default:
      return null;
  }
}

/** The one node that reads `value`, through Identity and one Transpose of a matrix; null where there are several. */
function onlyReader(
  value: Value,
  readers: ReadonlyMap<Value, readonly Node[]>,
): { node: Node; as: Value; swapped: boolean } | null {
  let as = value;
  let swapped = false;
  for (;;) {
    const [node, ...others] = readers.get(as) ?? [];
    if (!node || others.length > 0) return null;
    const turns = node.op === "Transpose" && as.shape?.length === 2 && (node.ints("perm") ?? [1, 0])[0] === 1;
    if (node.op !== "Identity" && !turns) return { node, as, swapped };
    as = node.output();
    swapped = swapped !== turns;
  }
}

function readersOf(graph: Graph): Map<Value, Node[]> {
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) for (const v of node.reads()) readers.set(v, [...(readers.get(v) ?? []), node]);
  return readers;
}

/** Whether the rows of `output` belong to examples: its leading dimension is the batch, a product with it, or not known. */
function worksByExample(output: Value, batch: Dim): boolean {
  const lead = output.shape?.[0];
  if (lead === undefined) return false;
  if (typeof lead === "string") return lead.startsWith("?") || factorsOf(lead).includes(batch);
  return typeof batch === "number" && lead % batch === 0;
}
