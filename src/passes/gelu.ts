import { Node, type Value } from "../ir/graph.js";
import type { Pass } from "./pass.js";

/**
 * Finds what exporters below opset 20 write for GELU, ½x(1 + erf(x/√2)) in any order of its factors, and makes one `Gelu` of
 * it: its derivative takes fewer operators than those of the parts.
 */
export const foldGelu: Pass = (graph) => {
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) for (const v of node.reads()) readers.set(v, [...(readers.get(v) ?? []), node]);
  const outputs = new Set(graph.outputs);
  /** The one node that reads `v`. */
  const next = (v: Value): Node | null => {
    const [node, ...others] = readers.get(v) ?? [];
    return node && others.length === 0 && !outputs.has(v) ? node : null;
  };
  const isConstant = (v: Value | null | undefined, x: number): boolean => {
    const tensor = v && graph.constantOf(v);
    return tensor?.size === 1 && tensor.dtype.startsWith("float") && Math.abs((tensor.numbers()[0] ?? NaN) - x) < 1e-6;
  };
  const plain = (node: Node | null, op: string): node is Node => node?.op === op && node.domain === "";
  /** The other operand, where one of them is the constant x. */
  const beside = (node: Node, x: number): Value | null => {
    const [a, b] = [node.input(0), node.input(1)];
    return isConstant(b, x) ? a : isConstant(a, x) ? b : null;
  };
  const other = (node: Node, v: Value): Value => (node.input(0) === v ? node.input(1) : node.input(0));

  /** x, where `v` is x/√2. */
  const unscaled = (v: Value): Value | null => {
    const node = v.producer;
    if (!node || next(v) === null) return null;
    if (plain(node, "Div")) return isConstant(node.input(1), Math.SQRT2) ? node.input(0) : null;
    return plain(node, "Mul") ? beside(node, Math.SQRT1_2) : null;
  };
  /** The last node of ½x(1 + e), from the Erf node on. */
  const endOf = (erf: Node, x: Value): Node | null => {
    const sum = next(erf.output());
    if (!plain(sum, "Add") || beside(sum, 1) !== erf.output()) return null;
    const first = next(sum.output());
    if (!plain(first, "Mul")) return null;
    if (beside(first, 0.5) === sum.output()) {
      const last = next(first.output());
      return plain(last, "Mul") && other(last, first.output()) === x ? last : null;
    }
    const factor = other(first, sum.output());
    if (factor === x) {
      const last = next(first.output());
      return plain(last, "Mul") && beside(last, 0.5) === first.output() ? last : null;
    }
    const half = factor.producer;
    return half && plain(half, "Mul") && beside(half, 0.5) === x ? first : null;
  };

  const ends = new Map<Node, Value>();
  for (const node of graph.nodes) {
    if (!plain(node, "Erf")) continue;
    const x = unscaled(node.input(0));
    const end = x && endOf(node, x);
    if (end) ends.set(end, x);
  }
  graph.nodes = graph.nodes.map((node) => {
    const x = ends.get(node);
    return x ? new Node("Gelu", [x], node.outputs, {}, {}, "", node.name) : node;
  });
  return { modified: ends.size > 0 };
};
