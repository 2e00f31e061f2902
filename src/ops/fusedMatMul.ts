import type { Node } from "../ir/graph.js";
import * as e from "./emit.js";

/** An operand as its attributes turn it: the first axis behind the others of the batch, then the last two swapped. */
function turned(b: e.B, v: e.V, swapped: boolean, batch: boolean): e.V {
  const n = v.dims.length;
  const order = Array.from({ length: n }, (_, i) => i);
  const moved = batch ? [...order.slice(1, n - 1), 0, n - 1] : order;
  const perm = swapped ? [...moved.slice(0, n - 2), moved[n - 1] ?? 0, moved[n - 2] ?? 0] : moved;
  return n < 2 ? v : e.transpose(b, v, perm);
}

/** α·op(A)·op(B). */
export function fusedMatMul(b: e.B, node: Node): e.V {
  const flag = (name: string): boolean => node.int(name, 0) !== 0;
  const first = turned(b, node.input(0), flag("transA"), flag("transBatchA"));
  const second = turned(b, node.input(1), flag("transB"), flag("transBatchB"));
  return e.scale(b, e.matmul(b, first, second), node.float("alpha", 1));
}
