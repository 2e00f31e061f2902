import { Node, Value, tensorType, type Graph } from "../ir/graph.js";
import { isStatic } from "../util/shape.js";
import { dce } from "./dce.js";
import type { SizeOf } from "./memory.js";
import { tangentsAlong } from "./tangents.js";
import { traversal } from "./traversal.js";

/** The forward passes of a step: the output that each ends in, and what the names of its nodes begin with. */
export const forwardPasses = [
  { loss: "loss", prefix: "pass1/" },
  { loss: "perturbed_loss", prefix: "pass2/" },
] as const;

/** Losses that passes end in, by which they are chosen. */
export const passNames: readonly string[] = forwardPasses.map(({ loss }) => loss);

/** Metadata of a model whose activations are to be computed anew where its graph is lowered. */
export const recomputeKey = "curvsam.recompute";

/** Most segments that are tried. */
const mostSegments = 32;

/**
 * Keeps of each forward pass that ends in one of `chosen` only what crosses the borders of its segments, and computes the rest of
 * a segment anew when the backward pass comes to it: less memory for one more forward pass. Every value is computed by the same
 * operators as before, so results are the same, bit for bit. Borders are where little crosses, between residual blocks; their number is the one
 * that keeps least: what crosses, and the largest segment. Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
 *
 * The tangents of a Hessian-vector product that go along with the forward pass are computed anew with it, as their own backward
 * pass reads both (`tangents.ts`).
 *
 * An optimizer of graphs would merge what is computed twice: this comes last.
 */
export function recompute(graph: Graph, sizeOf: SizeOf, chosen: readonly string[] = passNames): { modified: boolean } {
  let modified = false;
  for (const { loss, prefix } of forwardPasses) {
    const output = chosen.includes(loss) ? graph.output(loss) : undefined;
    if (output) modified = new Recomputation(graph, output, prefix, sizeOf).run() || modified;
  }
  // Of the tangents, some are read in their second edition only.
  if (modified) dce(graph);
  return { modified };
}

class Recomputation {
  /** The nodes of the forward pass, in the order in which they run, with the tangents that go along; the place of each there. */
  private readonly forward: readonly Node[];
  private readonly place = new Map<Node, number>();
  /** The last place of the forward pass that reads a value of it. */
  private readonly lastRead = new Map<Value, number>();
  /** The nodes of the backward pass, with that of the tangents. */
  private readonly backward: ReadonlySet<Node>;
  /** The nodes of the backward pass that read each value of the forward pass. */
  private readonly readers = new Map<Value, Node[]>();

  constructor(
    private readonly graph: Graph,
    loss: Value,
    private readonly prefix: string,
    private readonly sizeOf: SizeOf,
  ) {
    const { forward, backward } = tangentsAlong(graph, forwardOf(graph, loss, prefix), prefix, sizeOf);
    this.forward = forward;
    this.backward = backward;
    forward.forEach((node, i) => this.place.set(node, i));
    for (const node of graph.nodes) {
      const at = this.place.get(node);
      for (const v of node.reads()) {
        if (!v.producer || !this.place.has(v.producer)) continue;
        if (at !== undefined) this.lastRead.set(v, Math.max(at, this.lastRead.get(v) ?? 0));
        else if (backward.has(node)) this.readers.set(v, [...(this.readers.get(v) ?? []), node]);
      }
    }
  }

  run(): boolean {
    const borders = this.chooseBorders();
    const before = this.beforeSegments(borders);
    let modified = false;
    // The last segment is still there when the backward pass begins.
    for (let s = borders.length - 1; s >= 0; s--) {
      modified = this.recomputeSegment(borders, s, before[s] ?? []) || modified;
    }
    if (modified) sortNodes(this.graph);
    return modified;
  }

  /** Bytes of what crosses from the nodes up to a place to those after it, by place. */
  private crossings(): Float64Array {
    const change = new Float64Array(this.forward.length + 1);
    for (const [v, last] of this.lastRead) {
      const made = this.place.get(v.producer as Node) ?? 0;
      change[made] = (change[made] ?? 0) + this.sizeOf(v);
      change[last] = (change[last] ?? 0) - this.sizeOf(v);
    }
    let now = 0;
    return change.map((c) => (now += c));
  }

  /** Places after which segments end, but for the last one. */
  private chooseBorders(): number[] {
    const size = this.forward.length;
    const crossing = this.crossings();
    /** Bytes that the backward pass reads of what is made up to a place. */
    const kept = new Float64Array(size + 1);
    this.forward.forEach((node, i) => {
      const own = node.outputs.reduce((sum, v) => sum + (v && this.readers.has(v) ? this.sizeOf(v) : 0), 0);
      kept[i + 1] = (kept[i] ?? 0) + own;
    });
    const all = kept[size] ?? 0;
    let best = { borders: [] as number[], bytes: all };
    for (let count = 2; count <= Math.min(mostSegments, size); count++) {
      const borders: number[] = [];
      for (let s = 1; s < count; s++) {
        const [from, to] = [s - 0.4, s + 0.4].map((x) => kept.findIndex((bytes) => bytes >= (x * all) / count));
        let [at, least] = [-1, Infinity];
        for (let i = Math.max(from ?? 0, (borders.at(-1) ?? -1) + 1); i < Math.min(to ?? 0, size - 1); i++) {
          if ((crossing[i] ?? 0) < least) [at, least] = [i, crossing[i] ?? 0];
        }
        if (at >= 0) borders.push(at);
      }
      const ends = [...borders, size - 1];
      const interiors = ends.map((end, s) => (kept[end + 1] ?? 0) - (kept[(ends[s - 1] ?? -1) + 1] ?? 0));
      const bytes = borders.reduce((sum, i) => sum + (crossing[i] ?? 0), 0) + Math.max(...interiors);
      if (bytes < best.bytes) best = { borders, bytes };
    }
    return best.borders;
  }

  /** The segment that makes `v` and alone reads it in the forward pass, if there is one. */
  private segmentOf(v: Value, borders: readonly number[]): number | null {
    const at = v.producer ? this.place.get(v.producer) : undefined;
    if (at === undefined) return null;
    const index = borders.findIndex((end) => at <= end);
    const s = index < 0 ? borders.length : index;
    return (this.lastRead.get(v) ?? 0) <= (borders[s] ?? Infinity) ? s : null;
  }

  /**
   * By segment: what the backward pass makes of the segments after it and of none before, and reads there no more: gradients
   * of parameters and what is handed on. Once they are there, nothing reads those segments.
   */
  private beforeSegments(borders: readonly number[]): Value[][] {
    /** The first segment that a node after the forward pass lies behind. */
    const first = new Map<Node, number>();
    for (const node of this.graph.nodes) {
      if (this.place.has(node)) continue;
      const reads = [...node.reads()].map(
        (v) => this.segmentOf(v, borders) ?? (v.producer ? first.get(v.producer) : undefined) ?? Infinity,
      );
      first.set(node, Math.min(...reads));
    }
    const read = new Set<Value>();
    for (const [node, s] of first) {
      for (const v of node.reads()) if (v.producer && first.get(v.producer) === s) read.add(v);
    }
    const made: Value[][] = borders.map(() => []);
    for (const [node, s] of first) {
      const ends = node.outputs.filter((v): v is Value => v !== null && !read.has(v));
      if (this.backward.has(node)) made[s - 1]?.push(...ends);
    }
    return made;
  }

  /** Lets the backward pass read what segment `s` makes from nodes of its own, that run once `before` is there. */
  private recomputeSegment(borders: readonly number[], s: number, before: readonly Value[]): boolean {
    const [start, end] = [(borders[s - 1] ?? -1) + 1, borders[s] ?? 0];
    const within = (v: Value): boolean => this.segmentOf(v, borders) === s;
    const wanted = [...this.readers.keys()].filter(within);
    const own = new Set(wanted.flatMap((v) => this.readers.get(v) ?? []));
    if (own.size === 0 || before.length === 0) return false;
    const { graph, prefix } = this;
    const name = `${prefix}recompute/${s}`;
    const made: Node[] = [];
    const op = (kind: string, inputs: Value[], type: Value["type"]): Value => {
      const value = new Value(`${name}/${kind}_${made.length}_out`, type);
      made.push(new Node(kind, inputs, [value], {}, {}, "", `${name}/${kind}_${made.length}`));
      return value;
    };
    const number = tensorType("int64", []);
    const sizes = before.map((v) => op("Size", [v], number));
    const most = op("Max", sizes, number);
    const zero = op("Sub", [most, most], number);
    // A view of what is there already that waits for the backward pass.
    const gates = new Map<Value, Value>();
    const gate = (v: Value): Value => {
      const dynamic = v.producer ? this.place.has(v.producer) : !isStatic(v.shape ?? [1]);
      if (!dynamic || graph.initializers.has(v)) return v;
      const known = gates.get(v);
      if (known) return known;
      const rank = tensorType("int64", [v.shape?.length ?? "?"]);
      const view = op("Reshape", [v, op("Add", [op("Shape", [v], rank), zero], rank)], v.type);
      gates.set(v, view);
      return view;
    };
    const copies = new Map<Value, Value>();
    const needed = new Set<Node>();
    const visit = (v: Value): void => {
      const node = v.producer;
      if (!node || !within(v) || needed.has(node)) return;
      needed.add(node);
      for (const read of node.inputs) if (read) visit(read);
    };
    wanted.forEach(visit);
    for (const node of this.forward.slice(start, end + 1)) {
      if (!needed.has(node)) continue;
      const inputs = node.inputs.map((v) => v && (copies.get(v) ?? gate(v)));
      const outputs = node.outputs.map((v) => v && new Value(`${name}/${v.name}`, v.type));
      made.push(new Node(node.op, inputs, outputs, node.attributes, node.bodies, node.domain, `${name}/${node.name}`));
      node.outputs.forEach((v, i) => v && within(v) && copies.set(v, outputs[i] ?? v));
    }
    for (const node of own) node.inputs = node.inputs.map((v) => (v && copies.get(v)) ?? v);
    graph.nodes.push(...made);
    return true;
  }
}

/** The nodes of the pass `prefix` that `loss` needs, in the order in which they run. */
function forwardOf(graph: Graph, loss: Value, prefix: string): Node[] {
  const behind = nodesBehind(loss);
  return traversal(graph).filter((node) => behind.has(node) && node.name.startsWith(prefix));
}

/** The nodes that make `values`, and all that they need. */
export function nodesBehind(...values: Value[]): Set<Node> {
  const found = new Set<Node>();
  const stack = values;
  for (let v = stack.pop(); v; v = stack.pop()) {
    const node = v.producer;
    if (!node || found.has(node)) continue;
    found.add(node);
    stack.push(...node.reads());
  }
  return found;
}

/** Brings the nodes into topological order again, as near to the one that they have as can be. */
export function sortNodes(graph: Graph): void {
  const left = new Set(graph.nodes);
  const sorted: Node[] = [];
  for (const root of graph.nodes) {
    const stack = [root];
    for (let node = stack.at(-1); node; node = stack.at(-1)) {
      const missing = [...node.reads()].flatMap(({ producer }) => (producer && left.has(producer) ? [producer] : []));
      if (left.has(node) && missing.length > 0) stack.push(...missing);
      else {
        stack.pop();
        if (left.delete(node)) sorted.push(node);
      }
    }
  }
  graph.nodes = sorted;
}
