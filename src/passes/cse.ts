import type { Graph, Node, Value } from "../ir/graph.js";
import { isFloat } from "../util/dtype.js";
import { substitute } from "../ir/edit.js";
import { attributeKey, Ids, tensorKey } from "./keys.js";
import { graphsWithin, isPure } from "./pass.js";

/** Parts end at a newline, which no part has in it. */
function nodeKey(node: Node, ids: Ids): string {
  let key = `${node.domain}\n${node.op}\n`;
  for (const v of node.inputs) key += `${ids.of(v)} `;
  key += "\n";
  for (const v of node.outputs) key += v ? "1" : "0";
  const names = Object.keys(node.attributes);
  if (names.length > 1) names.sort();
  for (const name of names) {
    const attribute = node.attributes[name];
    if (attribute) key += `\n${name} ${attributeKey(attribute, ids)}`;
  }
  return key;
}

/**
 * Common subexpressions: of equal nodes (operator, attributes, inputs) one stays, within each graph; so with equal
 * constants, save floating-point ones: two parameters that happen to start equal are still two. An output keeps its name.
 */
export function cse(graph: Graph): { modified: boolean } {
  let modified = false;
  for (const g of graphsWithin(graph)) modified = merge(g) || modified;
  return { modified };
}

function merge(graph: Graph): boolean {
  const ids = new Ids();
  const map = new Map<Value, Value>();
  const outputs = new Set(graph.outputs);
  const inputs = new Set(graph.inputs);
  const constants = new Map<string, Value>();
  for (const [value, tensor] of graph.initializers) {
    if (isFloat(tensor.dtype) || inputs.has(value) || outputs.has(value)) continue;
    const key = tensorKey(tensor, ids);
    const first = constants.get(key);
    if (!first) constants.set(key, value);
    else {
      map.set(value, first);
      graph.initializers.delete(value);
    }
  }
  const known = new Map<string, Node>();
  const kept = graph.nodes.filter((node) => {
    if (map.size > 0) node.inputs = node.inputs.map((v) => (v && map.get(v)) ?? v);
    if (!isPure(node)) return true;
    const key = nodeKey(node, ids);
    const first = known.get(key);
    const pairs = first?.outputs.map((v, i): [Value | null, Value | null] => [v, node.outputs[i] ?? null]);
    // Two outputs of the graph cannot become one value under two names.
    if (!pairs || pairs.some(([a, b]) => a && b && outputs.has(a) && outputs.has(b))) {
      known.set(key, node);
      return true;
    }
    for (const [a, b] of pairs) {
      if (!a || !b) continue;
      map.set(b, a);
      a.type ??= b.type;
      if (!outputs.has(b)) continue;
      outputs.add(a);
      a.name = b.name;
    }
    return false;
  });
  const modified = map.size > 0;
  graph.nodes = kept;
  substitute(graph, map);
  return modified;
}
