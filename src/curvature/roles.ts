import type { Graph, Node, Value } from "../ir/graph.js";

/**
 * What a model does with a parameter. `matmul`: a matrix [in, out]; `linear`: a matrix [out, in] (Gemm with transB); `conv`: kernels
 * [out, in, …]; `embedding`: rows [ids, features] that a Gather picks.
 */
export type Role = "matmul" | "linear" | "conv" | "embedding";

/** The role that one node gives the parameter at one of its inputs; null for none that is known. */
function roleAt(node: Node, input: number, value: Value): Role | null {
  const rank = value.dims.length;
  switch (node.op) {
    case "MatMul":
      return input === 1 && rank === 2 ? "matmul" : null;
    case "Gemm":
      return input === 1 ? (node.int("transB", 0) === 1 ? "linear" : "matmul") : null;
    case "Conv":
    case "ConvTranspose":
      return input === 1 ? "conv" : null;
    case "Gather":
      return input === 0 && rank === 2 && node.int("axis", 0) === 0 ? "embedding" : null;
    default:
      return null;
  }
}

/**
 * Roles of the `values` of `graph`, through transposes of matrices; where one is used in several ways (a tied embedding), the
 * first in the graph counts.
 */
export function rolesOf(graph: Graph, values: Iterable<Value>): Map<Value, Role> {
  const roles = new Map<Value, Role>();
  // A value, and the parameter that it is or is the transpose of.
  const standing = new Map<Value, { of: Value; transposed: boolean }>();
  for (const v of values) standing.set(v, { of: v, transposed: false });
  for (const node of graph.nodes) {
    for (const [i, input] of node.inputs.entries()) {
      const known = input && standing.get(input);
      if (!input || !known) continue;
      if (node.op === "Transpose" && input.dims.length === 2) {
        standing.set(node.output(), { of: known.of, transposed: !known.transposed });
        continue;
      }
      const role = roleAt(node, i, input);
      if (!role || roles.has(known.of)) continue;
      const swapped = role === "matmul" ? "linear" : role === "linear" ? "matmul" : null;
      if (!known.transposed) roles.set(known.of, role);
      else if (swapped) roles.set(known.of, swapped);
    }
  }
  return roles;
}
