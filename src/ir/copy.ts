import { must } from "../util/assert.js";
import type { Builder } from "./builder.js";
import type { Graph, Node, Type, Value } from "./graph.js";

/**
 * Emits something else for a node of a graph or of a body, given its inputs in the builder `b`; null copies the node.
 * `copy` copies it too, for what is made out of the copy, or with other inputs and types.
 */
export type Rewrite = (
  node: Node,
  inputs: readonly (Value | null)[],
  b: Builder,
  copy: (inputs?: readonly (Value | null)[], retype?: Retype) => Node,
) => readonly (Value | null)[] | null;

/** The type of a copy, from that of the original. */
export type Retype = (type: Type | null) => Type | null;

const copyAll: Rewrite = () => null;
const sameType: Retype = (type) => type;

/**
 * Copies the nodes of `graph` into `b`, reading `bindings` wherever the graph reads a bound value (an input, a
 * parameter), and constants for its initializers; values from outside of the graph stay as they are. `rewrite` may put
 * other nodes in the place of one, `retype` other types on what is copied, in bodies too. Only what `outputs` need is
 * copied. Returns the value of `b` for every copied value of the graph.
 */
export function instantiate(
  b: Builder,
  graph: Graph,
  bindings: ReadonlyMap<Value, Value>,
  outputs: readonly Value[] = graph.outputs,
  rewrite: Rewrite = copyAll,
  retype: Retype = sameType,
): Map<Value, Value> {
  const map = new Map(bindings);
  const inputs = new Set(graph.inputs);
  const own = (v: Value): Value => {
    const known = map.get(v);
    if (known) return known;
    const tensor = graph.initializers.get(v);
    if (!tensor) {
      must(b.outer && !inputs.has(v) ? v : null, `a binding for "${v.name}"`);
      return v;
    }
    const copy = b.constant(tensor, v.name);
    map.set(v, copy);
    return copy;
  };
  copyNodes(b, graph, map, outputs, own, { rewrite, retype });
  for (const o of outputs) if (!map.has(o)) map.set(o, own(o));
  return map;
}

function copyNodes(
  b: Builder,
  graph: Graph,
  map: Map<Value, Value>,
  outputs: readonly Value[],
  at: (v: Value) => Value,
  changes: { rewrite: Rewrite; retype: Retype },
): void {
  const { rewrite, retype } = changes;
  const needed = producers(graph, outputs, map);
  for (const node of graph.nodes) {
    if (!needed.has(node)) continue;
    const own = node.inputs.map((v) => v && at(v));
    const copy: Parameters<Rewrite>[3] = (inputs = own, again = sameType) => {
      const bodies = Object.fromEntries(Object.entries(node.bodies).map(([k, g]) => [k, copyBody(b, g, at, changes)]));
      return b.emit(
        node.op,
        inputs,
        node.outputs.map((o) => o !== null),
        node.attributes,
        bodies,
        {
          domain: node.domain,
          name: node.name || node.op,
          types: node.outputs.map((o) => again(retype(o?.type ?? null))),
        },
      );
    };
    const made = rewrite(node, own, b, copy) ?? copy().outputs;
    node.outputs.forEach((o, i) => {
      const v = made[i];
      if (o && v) map.set(o, v);
    });
  }
}

/** The nodes of `graph` that `outputs` are computed by, up to bound values. */
function producers(graph: Graph, outputs: readonly Value[], bindings: ReadonlyMap<Value, Value>): Set<Node> {
  const found = new Set<Node>();
  const own = new Set(graph.nodes);
  const stack = [...outputs];
  for (let v = stack.pop(); v; v = stack.pop()) {
    const node = v.producer;
    if (!node || !own.has(node) || found.has(node) || bindings.has(v)) continue;
    found.add(node);
    stack.push(...node.reads());
  }
  return found;
}

/** A copy of a body for a node of `b`; values from around the body are read through `outer`. */
function copyBody(
  b: Builder,
  graph: Graph,
  outer: (v: Value) => Value,
  changes: { rewrite: Rewrite; retype: Retype },
): Graph {
  const body = b.body(graph.name);
  const map = new Map<Value, Value>();
  for (const v of graph.inputs) map.set(v, body.parameter(v.name, changes.retype(v.type)));
  const at = (v: Value): Value => {
    const known = map.get(v);
    if (known) return known;
    const tensor = graph.initializers.get(v);
    if (!tensor) return outer(v);
    const copy = body.constant(tensor, v.name);
    map.set(v, copy);
    return copy;
  };
  copyNodes(body, graph, map, graph.outputs, at, changes);
  return body.returns(graph.outputs.map(at));
}
