import type { Node } from "../ir/graph.js";
import { sameShape } from "../util/shape.js";
import * as e from "./emit.js";

/** ẏ = ȧ + ḃ for y = a + b; a tangent that stands alone is broadcast to the shape of y. */
export function addTangents(b: e.B, node: Node, da: e.V | null, db: e.V | null): e.V | null {
  if (da && db) return e.add(b, da, db);
  const one = da ?? db;
  return one && broadcastTo(b, one, node.output());
}

/** `x` broadcast to the shape of `y`; nothing is emitted where the shapes are known to be equal. */
export function broadcastTo(b: e.B, x: e.V, y: e.V): e.V {
  return sameShape(x.shape, y.shape) ? x : e.expand(b, x, e.shapeOf(b, y), y.type);
}
