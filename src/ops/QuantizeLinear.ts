import { int, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import { inRange, spread, zeroPoint } from "./quantization.js";
import type { OpRule } from "./rule.js";

/** s as it meets x, x/s, and 1/s where x/s lies within the range of the type, else 0. */
function terms(b: e.B, node: Node): { scale: e.V; ratio: e.V; slope: e.V } {
  const [x, s] = [node.input(0), node.input(1)];
  const scale = e.cast(b, spread(b, node, s, x), x.dtype);
  const ratio = e.div(b, x, scale);
  const within = inRange(b, ratio, zeroPoint(b, node, node.inputs[2], x, ratio), node.output().dtype);
  return { scale, ratio, slope: e.div(b, within, scale) };
}

/**
 * q = round(x/s) + z, kept within the range of its type. Straight through: rounding is taken for the identity (Bengio et al.
 * 2013), so that ∂q/∂x = 1/s and ∂q/∂s = −x/s² within the range and 0 outside. With DequantizeLinear this is PyTorch's
 * fake quantization, and its derivative by the scale that of LSQ (Esser et al. 2020). The cotangent of q is a float.
 */
export const rule: OpRule<"QuantizeLinear"> = {
  op: "QuantizeLinear",
  since: 21,
  quantizes: true,
  vjp: (c, node, [dq], need) => {
    const { b } = c;
    if (!dq) return [null, null, null];
    const { scale, ratio, slope } = terms(b, node);
    const dx = e.mul(b, dq, slope);
    if (!need[1]) return [dx, null, null];
    return [dx, c.vjp([scale], [e.neg(b, e.mul(b, dx, ratio))], [node.input(1)])[0] ?? null, null];
  },
  jvp: ({ b }, node, [dx, ds]) => {
    const { ratio, slope } = terms(b, node);
    const x = node.input(0);
    const moved = ds ? e.mul(b, ratio, e.cast(b, spread(b, node, ds, x), ratio.dtype)) : null;
    const change = dx && moved ? e.sub(b, dx, moved) : (dx ?? (moved && e.neg(b, moved)));
    return [change && e.mul(b, change, slope)];
  },
  samples: [
    {
      inputs: [
        { shape: [2, 3], range: [-3, 3] },
        { shape: [], values: [0.4] },
        { shape: [], dtype: "int8", values: [1], constant: true },
      ],
      attributes: { axis: int(1) },
    },
  ],
};
