import { int, Node, tensorType, Value, type Graph } from "../ir/graph.js";
import { dtypeCodes } from "../util/dtype.js";
import { views, type SizeOf } from "./memory.js";
import { forwardPasses, nodesBehind, sortNodes } from "./recompute.js";

/** Metadata of a model whose activations are to wait for the backward pass in float16 where its graph is lowered. */
export const storeKey = "curvsam.store-activations";

/** Values of fewer bytes stay as they are. */
const least = 1 << 14;

/** What looks at the last digits of a value would find others. */
const comparisons: ReadonlySet<string> = new Set(["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Sign"]);

/**
 * Keeps what a forward pass makes for its backward pass in float16 meanwhile: half of the memory, for two casts. The forward
 * pass reads what it read before, so that losses are the same bit for bit; gradients are those of activations that are rounded. One
 * beyond ±65,504 becomes infinite, and so does the gradient.
 *
 * An optimizer of graphs could undo it, and the order of nodes matters: this comes last.
 */
export function storeInHalf(graph: Graph, sizeOf: SizeOf): { modified: boolean } {
  const passes = forwardPasses.flatMap(({ loss, prefix }) => {
    const output = graph.output(loss);
    const behind = output ? [...nodesBehind(output)] : [];
    return output ? [{ prefix, nodes: new Set(behind.filter((node) => node.name.startsWith(prefix))) }] : [];
  });
  const forward = new Set(passes.flatMap(({ nodes }) => [...nodes]));
  let modified = false;
  for (const { prefix, nodes } of passes) {
    modified = new Storing(graph, { prefix, nodes }, forward, sizeOf).run() || modified;
  }
  if (modified) sortNodes(graph);
  return { modified };
}

class Storing {
  private readonly readers = new Map<Value, Node[]>();
  private readonly captured = new Set<Value>();
  private readonly halves = new Map<Value, Value>();
  private readonly made: Node[] = [];

  constructor(
    private readonly graph: Graph,
    private readonly pass: { prefix: string; nodes: ReadonlySet<Node> },
    /** The nodes of all forward passes. */
    private readonly forward: ReadonlySet<Node>,
    private readonly sizeOf: SizeOf,
  ) {
    for (const node of graph.nodes) {
      for (const v of new Set(node.inputs)) if (v) this.readers.set(v, [...(this.readers.get(v) ?? []), node]);
      for (const v of node.captures()) this.captured.add(v);
    }
    for (const v of graph.outputs) this.captured.add(v);
  }

  run(): boolean {
    const roots = new Map<Value, Value[]>();
    for (const node of this.pass.nodes) {
      for (const v of node.outputs) {
        if (!v || v.type?.kind !== "tensor" || v.dtype !== "float32" || this.sizeOf(v) < least) continue;
        const root = this.rootOf(v);
        roots.set(root, [...(roots.get(root) ?? []), v]);
      }
    }
    let modified = false;
    for (const [root, alike] of roots) modified = this.store(root, alike) || modified;
    this.graph.nodes.push(...this.made);
    return modified;
  }

  private isView = (node: Node): boolean => node.domain === "" && views.has(node.op);

  /** The value in whose memory `v` lies. */
  private rootOf(v: Value): Value {
    let root = v;
    for (let node = root.producer; node && this.pass.nodes.has(node) && this.isView(node); node = root.producer)
      root = node.input(0);
    return root;
  }

  /** Lets what comes after the forward pass read the values `alike`, views of `root`, from its float16. */
  private store(root: Value, alike: readonly Value[]): boolean {
    if (!root.producer || !this.pass.nodes.has(root.producer) || [root, ...alike].some((v) => this.captured.has(v)))
      return false;
    const late = (v: Value): Node[] => (this.readers.get(v) ?? []).filter((node) => !this.forward.has(node));
    const later = alike.flatMap(late);
    const early = (this.readers.get(root) ?? []).filter((node) => this.forward.has(node));
    if (later.length === 0 || early.length === 0 || later.some((node) => comparisons.has(node.op))) return false;
    const half = this.op("Cast", [root], tensorType("float16", root.shape), { to: int(dtypeCodes.float16) });
    this.halves.set(root, half);
    for (const v of alike) {
      for (const reader of late(v)) {
        // One for each reader: between two of them nothing is held in float32.
        const wide = this.op("Cast", [this.halfOf(v)], v.type, { to: int(dtypeCodes.float32) });
        reader.inputs = reader.inputs.map((input) => (input === v ? wide : input));
      }
    }
    const gate = this.after(root, half);
    for (const reader of early) reader.inputs = reader.inputs.map((input) => (input === root ? gate : input));
    return true;
  }

  /** The float16 of a view: the same view of the float16. */
  private halfOf(v: Value): Value {
    const known = this.halves.get(v);
    if (known || !v.producer) return known ?? v;
    const [source, ...others] = v.producer.inputs;
    const half = this.op(
      v.producer.op,
      [source ? this.halfOf(source) : null, ...others],
      tensorType("float16", v.shape),
      v.producer.attributes,
    );
    this.halves.set(v, half);
    return half;
  }

  /** A view of `v` that waits for `half`: else the runtime would cast only when the backward pass comes to it. */
  private after(v: Value, half: Value): Value {
    const count = this.op("Size", [half], tensorType("int64", []));
    const zero = this.op("Sub", [count, count], tensorType("int64", []));
    const rank = tensorType("int64", [v.shape?.length ?? "?"]);
    return this.op("Reshape", [v, this.op("Add", [this.op("Shape", [v], rank), zero], rank)], v.type);
  }

  private op(kind: string, inputs: (Value | null)[], type: Value["type"], attributes: Node["attributes"] = {}): Value {
    const name = `${this.pass.prefix}store/${kind}_${this.made.length}`;
    const value = new Value(`${name}_out`, type);
    this.made.push(new Node(kind, inputs, [value], attributes, {}, "", name));
    return value;
  }
}
