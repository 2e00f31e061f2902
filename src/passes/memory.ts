import type { Graph, Node, Value } from "../ir/graph.js";
import { byteLength } from "../util/dtype.js";
import { sizeOf as sizeOfShape, sizeOfDim } from "../util/shape.js";
import { networkOf, orderOf, type Network } from "./traversal.js";

/** Bytes of a value; 0 where it is not known or does not matter. */
export type SizeOf = (value: Value) => number;

/**
 * Bytes of the values of `graph` once symbols have sizes. What stays unknown is taken to be as large as the largest input of
 * its node; slices that indices choose, as many as there are indices.
 */
export function estimatedSizes(graph: Graph, sizes: ReadonlyMap<string, number>): SizeOf {
  const known = new Map<Value, number>();
  const sizeOf = (value: Value): number => {
    let size = known.get(value);
    if (size === undefined) {
      const dims = dimsAt(value, sizes);
      size = dims ? byteLength(value.dtype, sizeOfShape(dims)) : (chosenSlices(value) ?? largestInput(value));
      known.set(value, size);
    }
    return size;
  };
  const chosenSlices = ({ producer: node }: Value): number | null => {
    const dims = node?.op === "Gather" ? dimsAt(node.input(0), sizes) : null;
    const along = dims?.at(node?.int("axis", 0) ?? 0);
    if (!node || !along) return null;
    const [data, indices] = [node.input(0), node.input(1)];
    const count = sizeOf(indices) / byteLength(indices.type ? indices.dtype : "int64", 1);
    return (sizeOf(data) / along) * count;
  };
  const largestInput = (value: Value): number => {
    const inputs = value.producer?.inputs ?? [];
    return inputs.reduce((most, input) => Math.max(most, input ? sizeOf(input) : 0), 0);
  };
  // Nodes stand in topological order: no chain of unknown sizes is followed far.
  for (const node of graph.nodes) for (const output of node.outputs) if (output) sizeOf(output);
  return sizeOf;
}

/** The dimensions of a tensor once symbols have sizes; null where one stays unknown. */
export function dimsAt(value: Value, sizes: ReadonlyMap<string, number>): readonly number[] | null {
  const dims: number[] = [];
  for (const dim of value.shape ?? ["?"]) {
    const size = sizeOfDim(dim, (symbol) => sizes.get(symbol));
    if (size === undefined) return null;
    dims.push(size);
  }
  return dims;
}

/** Operators whose output is a view of their first input (ONNX Runtime's CPU kernels). */
export const views: ReadonlySet<string> = new Set(["Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"]);

/**
 * Operators whose output may take over the buffer of their first input when this is its last use and the sizes are the
 * same: measured, with onnxruntime-node 1.30; arithmetic, Exp, Sqrt, Erf and the like are not among them.
 */
const inPlace = new Set([
  ...["Relu", "Tanh", "Sigmoid", "Elu", "Selu", "LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Softsign", "Softplus"],
  ...["Softmax", "LogSoftmax", "Clip", "Cast", "ScatterElements"],
]);

/** The values of a network by number, as the simulation sees them. */
export interface Storage {
  readonly sizes: Float64Array;
  /** Reads of each value, slot by slot. */
  readonly uses: Int32Array;
  readonly isOutput: Uint8Array;
  /** By node: values made; values read, -1 for inputs and constants, whose memory is not counted. */
  readonly makes: readonly (readonly number[])[];
  readonly reads: readonly (readonly number[])[];
  /** By node: the value whose buffer the first output views (-1: an input's or a constant's; -2: none). */
  readonly view: Int32Array;
  /** By node: the value whose buffer the first output may take over, or -1. */
  readonly reusable: Int32Array;
}

export function storageOf(graph: Graph, network: Network, sizeOf: SizeOf): Storage {
  const ids = new Map<Value, number>();
  const made: Value[] = [];
  for (const node of network.nodes) {
    for (const v of node.outputs) {
      if (!v) continue;
      ids.set(v, made.length);
      made.push(v);
    }
  }
  const id = (v: Value | null | undefined): number => (v && ids.get(v)) ?? -1;
  const uses = new Int32Array(made.length);
  const slots = (node: Node): number[] => [...node.inputs.filter((v) => v !== null), ...node.captures()].map(id);
  const reads = network.nodes.map(slots);
  for (const list of reads) for (const v of list) if (v >= 0) uses[v] = (uses[v] ?? 0) + 1;
  const outputs = new Set(graph.outputs);
  const standard = (node: Node): boolean => node.domain === "";
  return {
    sizes: Float64Array.from(made, sizeOf),
    uses,
    isOutput: Uint8Array.from(made, (v) => (outputs.has(v) ? 1 : 0)),
    makes: network.nodes.map((n) => n.outputs.filter((v) => v !== null).map(id)),
    reads,
    view: Int32Array.from(network.nodes, (n) => (standard(n) && views.has(n.op) ? id(n.inputs[0]) : -2)),
    reusable: Int32Array.from(network.nodes, (n) => (standard(n) && inPlace.has(n.op) ? id(n.inputs[0]) : -1)),
  };
}

/**
 * Memory while nodes run one after another, as the runtime's allocation planner shares it: a view shares its source's
 * buffer, some operators take over an input of the same size that nobody else reads, outputs of the graph have
 * buffers of their own and stay to the end, all others go with their last reader. `undo` takes runs back.
 */
export class Memory {
  now = 0;
  peak = 0;
  /** Buffer of each value, by the value that it was allocated for; -1: not this simulation's. */
  private readonly buffer: Int32Array;
  private readonly left: Int32Array;
  private readonly log: number[] = [];

  constructor(private readonly of: Storage) {
    this.buffer = new Int32Array(of.sizes.length);
    this.left = Int32Array.from(of.uses);
  }

  run(node: number): void {
    const { sizes, uses, isOutput } = this.of;
    (this.of.makes[node] ?? []).forEach((v, i) => {
      const shared = i > 0 || isOutput[v] ? -2 : this.sharedBuffer(node, v);
      if (shared === -2) {
        this.buffer[v] = v;
        this.now += sizes[v] ?? 0;
      } else {
        this.buffer[v] = shared;
        if (shared >= 0) this.count(shared, uses[v] ?? 0);
      }
    });
    if (this.now > this.peak) this.peak = this.now;
    for (const v of this.of.reads[node] ?? []) if (v >= 0) this.release(v);
    for (const v of this.of.makes[node] ?? [])
      if (uses[v] === 0 && this.buffer[v] === v && !isOutput[v]) this.now -= sizes[v] ?? 0;
  }

  /** Buffer that the first output shares: -2 for none, -1 for that of an input or a constant. */
  private sharedBuffer(node: number, made: number): number {
    const source = this.of.view[node] ?? -2;
    if (source >= -1) return source === -1 ? -1 : (this.buffer[source] ?? -2);
    const input = this.of.reusable[node] ?? -1;
    const buffer = input < 0 ? -1 : (this.buffer[input] ?? -1);
    const fits = buffer >= 0 && !this.of.isOutput[buffer] && this.of.sizes[buffer] === this.of.sizes[made];
    return fits && this.left[buffer] === 1 ? buffer : -2;
  }

  private count(buffer: number, by: number): void {
    this.left[buffer] = (this.left[buffer] ?? 0) + by;
    this.log.push(buffer, by);
  }

  private release(v: number): void {
    const buffer = this.buffer[v] ?? -1;
    if (buffer < 0) return;
    this.count(buffer, -1);
    if (this.left[buffer] === 0 && !this.of.isOutput[buffer]) this.now -= this.of.sizes[buffer] ?? 0;
  }

  /** A state to come back to. */
  mark(): { now: number; peak: number; log: number } {
    return { now: this.now, peak: this.peak, log: this.log.length };
  }

  undo(to: { now: number; peak: number; log: number }): void {
    while (this.log.length > to.log) {
      const by = this.log.pop() ?? 0;
      const buffer = this.log.pop() ?? 0;
      this.left[buffer] = (this.left[buffer] ?? 0) - by;
    }
    this.now = to.now;
    this.peak = to.peak;
  }
}

export function peakOf(storage: Storage, order: readonly number[]): number {
  const memory = new Memory(storage);
  for (const node of order) memory.run(node);
  return memory.peak;
}

/**
 * Peak bytes of the values that the nodes of `graph` make, run in the order of `traversal`; inputs and constants are
 * not counted, nor what a kernel or a body allocates for itself.
 */
export function simulatePeak(graph: Graph, sizeOf: SizeOf): number {
  const network = networkOf(graph);
  const rank = Int32Array.from(network.nodes, (_, i) => i);
  return peakOf(storageOf(graph, network, sizeOf), orderOf(network, rank));
}
