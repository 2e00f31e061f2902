import { Graph, Node, Value, type Attribute, type Attributes } from "../ir/graph.js";
import type { Names } from "./rewriter.js";

/** Copies graphs under new names, with attribute references resolved. */
export class Copier {
  constructor(
    private readonly names: Names,
    private readonly prefix: string,
    private readonly attributes: Attributes,
    private readonly bodies: Readonly<Record<string, Graph>>,
  ) {}

  /** A copy of `graph` without inputs and outputs; `map` holds what its inputs are, and then every value's copy. */
  body(graph: Graph, map: Map<Value, Value | null>): Graph {
    const copy = new Graph(graph.name);
    for (const [v, t] of graph.initializers) copy.initializers.set(this.value(v, map), t);
    for (const [v, t] of graph.sparseInitializers) copy.sparseInitializers.set(this.value(v, map), t);
    copy.nodes = graph.nodes.map((node) => this.node(node, map));
    return copy;
  }

  private value(v: Value, map: Map<Value, Value | null>): Value {
    const copy = new Value(this.names.unique(`${this.prefix}${v.name}`), v.type);
    copy.doc = v.doc;
    copy.metadata = v.metadata;
    map.set(v, copy);
    return copy;
  }

  private node(node: Node, map: Map<Value, Value | null>): Node {
    const at = (v: Value | null): Value | null => {
      const known = v && map.get(v);
      return known === undefined ? v : known;
    };
    const inputs = node.inputs.map(at);
    const bodies: Record<string, Graph> = {};
    for (const [name, body] of Object.entries(node.bodies)) bodies[name] = this.inner(body, map);
    const attributes: Record<string, Attribute> = {};
    for (const [name, a] of Object.entries(node.attributes)) {
      const body = a.type === "reference" ? this.bodies[a.value] : undefined;
      const resolved = a.type === "reference" ? this.attributes[a.value] : a;
      if (body) bodies[name] = body;
      else if (resolved) attributes[name] = resolved;
    }
    const outputs = node.outputs.map((o) => o && this.value(o, map));
    const name = this.names.unique(`${this.prefix}${node.name || node.op}`);
    const copy = new Node(node.op, inputs, outputs, attributes, bodies, node.domain, name);
    copy.doc = node.doc;
    copy.overload = node.overload;
    copy.metadata = node.metadata;
    copy.extra = node.extra;
    return copy;
  }

  /** A copy of a body graph, with inputs and outputs of its own. */
  private inner(graph: Graph, outer: ReadonlyMap<Value, Value | null>): Graph {
    const map = new Map(outer);
    const inputs = graph.inputs.map((v) => this.value(v, map));
    const copy = this.body(graph, map);
    copy.inputs = inputs;
    copy.outputs = graph.outputs.map((o) => map.get(o) ?? o);
    copy.doc = graph.doc;
    copy.metadata = graph.metadata;
    return copy;
  }
}
