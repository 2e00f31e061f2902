import { Node, Value, int, ints, tensorType, type Attributes, type Graph } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { isStatic, sizeOf } from "../util/shape.js";

/** More positions than this make more products than they save. */
const mostPositions = 32;
/** Elements of a kernel beyond which turning it over costs more than the convolution gains. */
const largestTurned = 160_000;

interface Geometry {
  strides: readonly number[];
  dilations: readonly number[];
  /** Of all axes' beginnings, then of their ends. */
  pads: readonly number[];
  input: readonly number[];
  kernel: readonly number[];
}

/** What a convolution in float32 without groups does on its spatial axes; null where a size is not known. */
function geometryOf(node: Node): Geometry | null {
  const [input, kernel] = [node.input(0), node.input(1)].map((v) => v.shape?.slice(2));
  if (!input || !kernel || !isStatic(input) || !isStatic(kernel) || node.input(0).dtype !== "float32") return null;
  if (node.int("group", 1) !== 1 || node.string("auto_pad", "NOTSET") !== "NOTSET") return null;
  const ones = kernel.map(() => 1);
  return {
    strides: node.ints("strides") ?? ones,
    dilations: node.ints("dilations") ?? ones,
    pads: node.ints("pads") ?? [...kernel, ...kernel].map(() => 0),
    input,
    kernel,
  };
}

/** Nodes that take the place of one, named after it. */
class Replacement {
  readonly nodes: Node[] = [];

  constructor(
    private readonly graph: Graph,
    private readonly node: Node,
  ) {}

  op(op: string, inputs: Value[], attributes: Attributes = {}, domain = ""): Value {
    const name = `${this.node.name}/${op}_${this.nodes.length}`;
    const output = new Value(name, null);
    this.nodes.push(new Node(op, inputs, [output], attributes, {}, domain, name));
    return output;
  }

  int64s(values: readonly number[]): Value {
    const name = `${this.node.name}/constant_${this.nodes.length}_${this.graph.initializers.size}`;
    const value = new Value(name, tensorType("int64", [values.length]));
    this.graph.initializers.set(value, Tensor.int64s(values));
    return value;
  }

  /** The nodes, the last of which gives the output of the node that they replace. */
  done(): Node[] {
    const last = this.nodes.pop();
    if (last)
      this.nodes.push(new Node(last.op, last.inputs, this.node.outputs, last.attributes, {}, last.domain, last.name));
    return this.nodes;
  }
}

/**
 * A convolution whose kernel lies at few positions, as that of x with dy which is the gradient of a kernel: one product of
 * matrices a position, of what the kernel covers there with the kernel. The runtime would unfold the input into a matrix of so
 * few columns that its products hardly start.
 */
export function multiplyFewPositions(graph: Graph): { modified: boolean } {
  return replace(graph, "Conv", (node) => {
    const g = node.inputs.length === 2 ? geometryOf(node) : null;
    if (!g) return null;
    const rank = g.kernel.length;
    const [before, after] = [g.pads.slice(0, rank), g.pads.slice(rank)];
    const extent = g.kernel.map((k, i) => (k - 1) * at(g.dilations, i) + 1);
    const counts = g.input.map((n, i) =>
      Math.floor((n + at(before, i) + at(after, i) - at(extent, i)) / at(g.strides, i) + 1),
    );
    const positions = sizeOf(counts);
    if (positions > mostPositions || sizeOf(g.kernel) < positions) return null;
    const made = new Replacement(graph, node);
    const axes = made.int64s(g.kernel.map((_, i) => i + 2));
    const padded = g.pads.some((p) => p !== 0)
      ? made.op("Pad", [node.input(0), made.int64s([0, 0, ...before, 0, 0, ...after])])
      : node.input(0);
    const rows = made.int64s([0, -1]);
    const kernel = made.op("Reshape", [node.input(1), rows]);
    const steps = g.dilations.some((d) => d !== 1) ? [made.int64s(g.dilations)] : [];
    const single = made.int64s([2]);
    const products = Array.from({ length: positions }, (_, position) => {
      const starts = unravel(position, counts).map((p, i) => p * at(g.strides, i));
      const ends = starts.map((start, i) => start + at(extent, i));
      const covered = made.op("Slice", [padded, made.int64s(starts), made.int64s(ends), axes, ...steps]);
      const matrix = made.op("Reshape", [covered, rows]);
      const product = made.op("FusedMatMul", [matrix, kernel], { transB: int(1) }, "com.microsoft");
      return made.op("Unsqueeze", [product, single]);
    });
    const all = made.op("Concat", products, { axis: int(2) });
    made.op("Reshape", [all, made.int64s([0, 0, ...counts])]);
    return made.done();
  });
}

/**
 * A transposed convolution without strides as the convolution with the kernel turned over, which the runtime does in half the
 * time where images are large and the kernel is small.
 */
export function turnTransposedConvolutions(graph: Graph): { modified: boolean } {
  return replace(graph, "ConvTranspose", (node) => {
    const g = node.inputs.length === 2 && !node.ints("output_shape") ? geometryOf(node) : null;
    const channels = node.input(1).shape?.slice(0, 2);
    if (!g || !channels || !isStatic(channels) || g.strides.some((s) => s !== 1)) return null;
    if (node.ints("output_padding")?.some((p) => p !== 0) === true) return null;
    const size = sizeOf(g.kernel);
    if (size === 1 || sizeOf(channels) * size > largestTurned) return null;
    const rank = g.kernel.length;
    const pads = g.pads.map((p, i) => (at(g.kernel, i % rank) - 1) * at(g.dilations, i % rank) - p);
    if (pads.some((p) => p < 0)) return null;
    const made = new Replacement(graph, node);
    const flat = made.op("Reshape", [node.input(1), made.int64s([0, 0, -1])]);
    const reversed = made.int64s(Array.from({ length: size }, (_, i) => size - 1 - i));
    const turned = made.op("Gather", [flat, reversed], { axis: int(2) });
    const swapped = made.op("Transpose", [turned], { perm: ints([1, 0, 2]) });
    const kernel = made.op("Reshape", [swapped, made.int64s([0, 0, ...g.kernel])]);
    made.op("Conv", [node.input(0), kernel], {
      pads: ints(pads),
      dilations: ints([...g.dilations]),
      kernel_shape: ints([...g.kernel]),
    });
    return made.done();
  });
}

function replace(graph: Graph, op: string, by: (node: Node) => Node[] | null): { modified: boolean } {
  let modified = false;
  graph.nodes = graph.nodes.flatMap((node) => {
    const made = node.op === op && node.domain === "" ? by(node) : null;
    modified ||= made !== null;
    return made ?? [node];
  });
  return { modified };
}

const at = (values: readonly number[], i: number): number => values[i] ?? 0;

/** The place along each of `counts` axes of the element at `index`. */
function unravel(index: number, counts: readonly number[]): number[] {
  const place: number[] = [];
  for (const count of [...counts].reverse()) {
    place.unshift(index % count);
    index = Math.floor(index / count);
  }
  return place;
}
