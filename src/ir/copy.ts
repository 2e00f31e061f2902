import { must } from "../util/assert.js";
import type { Builder } from "./builder.js";
import { Graph, Node, Value } from "./graph.js";

/** Emits something else for a node, given its inputs in the builder; null copies the node. */
export type Rewrite = (node: Node, inputs: readonly (Value | null)[]) => readonly (Value | null)[] | null;

/**
 * Copies the nodes of `graph` into `b`, reading `bindings` wherever the graph reads a bound value (an input, a
 * parameter), and constants for its initializers; `rewrite` may put other nodes in the place of one. Only what `outputs`
 * need is copied. Returns the value of `b` for every copied value of the graph.
 */
export function instantiate(
  b: Builder,
  graph: Graph,
  bindings: ReadonlyMap<Value, Value>,
  outputs: readonly Value[] = graph.outputs,
  rewrite: Rewrite = () => null,
): Map<Value, Value> {
  const map = new Map(bindings);
  const at = (v: Value): Value => {
    const known = map.get(v);
    if (known) return known;
    const copy = b.constant(must(graph.initializers.get(v), `a binding for "${v.name}"`), v.name);
    map.set(v, copy);
    return copy;
  };
  const needed = producers(outputs, bindings);
  for (const node of graph.nodes) {
    if (!needed.has(node)) continue;
    const inputs = node.inputs.map((v) => v && at(v));
    const replaced = rewrite(node, inputs);
    if (replaced) {
      node.outputs.forEach((o, i) => {
        const r = replaced[i];
        if (o && r) map.set(o, r);
      });
      continue;
    }
    const bodies = Object.fromEntries(Object.entries(node.bodies).map(([k, g]) => [k, copyBody(g, at)]));
    const copy = b.emit(
      node.op,
      inputs,
      node.outputs.map((o) => o !== null),
      node.attributes,
      bodies,
      { domain: node.domain, name: node.name || node.op, types: node.outputs.map((o) => o?.type ?? null) },
    );
    node.outputs.forEach((o, i) => {
      if (o) map.set(o, copy.output(i));
    });
  }
  for (const o of outputs) if (!map.has(o)) map.set(o, at(o));
  return map;
}

/** The nodes that `outputs` are computed by, up to bound values. */
function producers(outputs: readonly Value[], bindings: ReadonlyMap<Value, Value>): Set<Node> {
  const found = new Set<Node>();
  const stack = [...outputs];
  for (let v = stack.pop(); v; v = stack.pop()) {
    const node = v.producer;
    if (!node || found.has(node) || bindings.has(v)) continue;
    found.add(node);
    stack.push(...node.reads());
  }
  return found;
}

/** A copy of a body graph whose captured values are replaced through `outer`. */
export function copyBody(graph: Graph, outer: (v: Value) => Value): Graph {
  const copy = new Graph(graph.name);
  const own = new Map<Value, Value>();
  const clone = (v: Value): Value => {
    const c = new Value(v.name, v.type);
    own.set(v, c);
    return c;
  };
  const at = (v: Value): Value => own.get(v) ?? outer(v);
  copy.inputs = graph.inputs.map(clone);
  for (const [v, t] of graph.initializers) copy.initializers.set(own.get(v) ?? clone(v), t);
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((v) => v && at(v));
    const bodies = Object.fromEntries(Object.entries(node.bodies).map(([k, g]) => [k, copyBody(g, at)]));
    const outputs = node.outputs.map((o) => o && clone(o));
    const n = new Node(node.op, inputs, outputs, node.attributes, bodies, node.domain, node.name);
    n.overload = node.overload;
    copy.nodes.push(n);
  }
  copy.outputs = graph.outputs.map(at);
  return copy;
}
