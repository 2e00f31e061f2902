import { Node, Value, tensorType, type Graph } from "../ir/graph.js";
import { isStatic } from "../util/shape.js";
import type { SizeOf } from "./memory.js";
import { networkOf, orderOf } from "./traversal.js";

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
 * Keeps of each forward pass that ends in one of `chosen` only what crosses the borders of its segments, and computes the rest of a segment anew when the
 * backward pass comes to it: less memory for one more forward pass. Every value is computed by the same operators as before,
 * so results are the same, bit for bit. Borders are where little crosses, between residual blocks; their number is the one
 * that keeps least: what crosses, and the largest segment. Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
 *
 * An optimizer of graphs would merge what is computed twice: this comes last. What reads the forward pass beside its own
 * backward pass (the tangents of a Hessian-vector product) reads what was computed first.
 */
export function recompute(graph: Graph, sizeOf: SizeOf, chosen: readonly string[] = passNames): { modified: boolean } {
  let modified = false;
  for (const { loss, prefix } of forwardPasses) {
    const output = chosen.includes(loss) ? graph.output(loss) : undefined;
    if (output) modified = new Recomputation(graph, output, prefix, sizeOf).run() || modified;
  }
  return { modified };
}

class Recomputation {
  /** The nodes of the forward pass, in the order in which they run, and the place of each there. */
  private readonly forward: Node[];
  private readonly place = new Map<Node, number>();
  /** The last place of the forward pass that reads a value of it. */
  private readonly lastRead = new Map<Value, number>();
  /** The nodes of the backward pass that read each value of the forward pass. */
  private readonly readers = new Map<Value, Node[]>();
  /** The nodes of the backward pass that read each value of it. */
  private readonly backward = new Map<Value, Node[]>();

  constructor(
    private readonly graph: Graph,
    loss: Value,
    private readonly prefix: string,
    private readonly sizeOf: SizeOf,
  ) {
    const ancestors = nodesBehind(loss);
    const network = networkOf(graph);
    const order = orderOf(
      network,
      Int32Array.from(network.nodes, (_, i) => i),
    );
    this.forward = order.flatMap((i) => {
      const node = network.nodes[i];
      return node && ancestors.has(node) && node.name.startsWith(prefix) ? [node] : [];
    });
    this.forward.forEach((node, i) => this.place.set(node, i));
    for (const node of graph.nodes) {
      const at = this.place.get(node);
      const isBackward = at === undefined && node.name.startsWith(prefix);
      for (const v of node.reads()) {
        if (v.producer && this.place.has(v.producer)) {
          if (at !== undefined) this.lastRead.set(v, Math.max(at, this.lastRead.get(v) ?? 0));
          else if (isBackward) this.readers.set(v, [...(this.readers.get(v) ?? []), node]);
        } else if (isBackward) this.backward.set(v, [...(this.backward.get(v) ?? []), node]);
      }
    }
  }

  run(): boolean {
    const borders = this.chooseBorders();
    let modified = false;
    // The last segment is still there when the backward pass begins.
    for (let s = borders.length - 1; s >= 0; s--) modified = this.recomputeSegment(borders, s) || modified;
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

  /** Lets the backward pass read what segment `s` makes from nodes of its own, that run when it comes there. */
  private recomputeSegment(borders: readonly number[], s: number): boolean {
    const [start, end] = [(borders[s - 1] ?? -1) + 1, borders[s] ?? 0];
    const within = (v: Value): boolean => {
      const at = v.producer ? this.place.get(v.producer) : undefined;
      return at !== undefined && at >= start && at <= end && (this.lastRead.get(v) ?? 0) <= end;
    };
    const wanted = [...this.readers.keys()].filter(within);
    const own = new Set(wanted.flatMap((v) => this.readers.get(v) ?? []));
    const trigger = this.triggerOf(own, end);
    if (!trigger) return false;
    const { graph, prefix } = this;
    const name = `${prefix}recompute/${s}`;
    const made: Node[] = [];
    const op = (kind: string, inputs: Value[], type: Value["type"]): Value => {
      const value = new Value(`${name}/${kind}_${made.length}_out`, type);
      made.push(new Node(kind, inputs, [value], {}, {}, "", `${name}/${kind}_${made.length}`));
      return value;
    };
    const count = op("Size", [trigger], tensorType("int64", []));
    const zero = op("Sub", [count, count], tensorType("int64", []));
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

  /**
   * What the backward pass hands from the segments after `end` to the nodes `own`, which read this one, and to those that read
   * what needs nothing else (views, slopes of activations): of the values that need none of them, the one that most of the
   * backward pass lies behind.
   */
  private triggerOf(own: ReadonlySet<Node>, end: number): Value | null {
    const touched = new Set(own);
    for (const node of touched) {
      const isLocal = node.inputs.every((v) => !v?.producer || this.place.has(v.producer) || touched.has(v.producer));
      if (isLocal)
        for (const v of node.outputs) for (const next of (v && this.backward.get(v)) ?? []) touched.add(next);
    }
    let best: { value: Value; behind: number } | null = null;
    const tried = new Set<Value>();
    for (const node of touched) {
      for (const v of node.inputs) {
        const from = v?.producer;
        if (!v || !from || this.place.has(from) || touched.has(from) || tried.has(v)) continue;
        tried.add(v);
        const behind = [...nodesBehind(v)].filter((n) => n.name.startsWith(this.prefix) && !this.place.has(n));
        if (behind.some((n) => touched.has(n))) continue;
        const comesAfter = (x: Value | null): boolean =>
          x?.producer ? (this.place.get(x.producer) ?? -1) > end : false;
        const after = behind.some((n) => n.inputs.some(comesAfter));
        if (after && behind.length > (best?.behind ?? 0)) best = { value: v, behind: behind.length };
      }
    }
    return best?.value ?? null;
  }
}

/** The node that makes `value`, and all that it needs. */
export function nodesBehind(value: Value): Set<Node> {
  const found = new Set<Node>();
  const stack = [value];
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
