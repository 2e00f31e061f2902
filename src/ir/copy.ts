import { must } from "../util/assert.js";
import type { Builder } from "./builder.js";
import { Graph, Node, Value } from "./graph.js";

/**
 * Copies the nodes of `graph` into `b`, reading `bindings` wherever the graph reads a bound value (an input, a
 * parameter), and constants for its initializers. Returns the value of `b` for every value of the graph.
 */
export function instantiate(b: Builder, graph: Graph, bindings: ReadonlyMap<Value, Value>): Map<Value, Value> {
  const map = new Map(bindings);
  const at = (v: Value): Value => {
    const known = map.get(v);
    if (known) return known;
    const copy = b.constant(must(graph.initializers.get(v), `a binding for "${v.name}"`), v.name);
    map.set(v, copy);
    return copy;
  };
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((v) => v && at(v));
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
  for (const o of graph.outputs) if (!map.has(o)) map.set(o, at(o));
  return map;
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
