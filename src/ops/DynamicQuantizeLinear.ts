import { int, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import { inRange } from "./quantization.js";
import type { OpRule } from "./rule.js";

/** s = (max(x, 0) − min(x, 0))/255, in terms of other operators; 1/255 where x is 0. */
function scaleOf(b: e.B, x: e.V): e.V {
  const zero = e.scalarLike(b, 0, x);
  const top = e.max(b, b.op("ReduceMax", [x], { keepdims: int(0) }), zero);
  const low = e.min(b, b.op("ReduceMin", [x], { keepdims: int(0) }), zero);
  const width = e.sub(b, top, low);
  return e.scale(b, e.where(b, e.isPositive(b, width), width, e.scalarLike(b, 1, x)), 1 / 255);
}

/** x/s, and 1/s where x/s lies within the range. */
function terms(b: e.B, node: Node): { ratio: e.V; slope: e.V } {
  const [x, s] = [node.input(0), node.output(1)];
  const ratio = e.div(b, x, s);
  const within = inRange(b, ratio, e.cast(b, node.output(2), x.dtype), "uint8");
  return { ratio, slope: e.div(b, within, s) };
}

/**
 * q = round(x/s) + z over the range of x, with that range's scale s and zero point z: straight through as QuantizeLinear,
 * and s has its derivative by the extremes of x, shared by those that are equal. z is held.
 */
export const rule: OpRule<"DynamicQuantizeLinear"> = {
  op: "DynamicQuantizeLinear",
  since: 11,
  quantizes: true,
  vjp: (c, node, [dq, ds]) => {
    const { b } = c;
    const x = node.input(0);
    const { ratio, slope } = terms(b, node);
    const straight = dq ? e.mul(b, dq, slope) : null;
    const moved = straight ? e.neg(b, e.sumAll(b, e.mul(b, straight, ratio))) : null;
    const total = moved && ds ? e.add(b, moved, ds) : (moved ?? ds);
    const byScale = total ? c.vjp([scaleOf(b, x)], [total], [x])[0] : null;
    return [straight && byScale ? e.add(b, straight, byScale) : (straight ?? byScale ?? null)];
  },
  jvp: (c, node, [dx]) => {
    const { b } = c;
    if (!dx) return [null, null, null];
    const x = node.input(0);
    const { ratio, slope } = terms(b, node);
    const ds = c.jvp([scaleOf(b, x)], new Map([[x, dx]]), [])[0] ?? null;
    const change = ds ? e.sub(b, dx, e.mul(b, ratio, ds)) : dx;
    return [e.mul(b, change, slope), ds, null];
  },
  samples: [{ inputs: [{ shape: [2, 3], range: [-2, 3], distinct: 0.05 }], outputs: 3 }],
};
