import { int, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import { spread, zeroPoint } from "./quantization.js";
import type { OpRule } from "./rule.js";

/** q − z, in the dtype of the scale. */
function steps(b: e.B, node: Node): e.V {
  const q = e.cast(b, node.input(0), node.input(1).dtype);
  const zero = zeroPoint(b, node, node.inputs[2], q, q);
  return zero ? e.sub(b, q, zero) : q;
}

/** y = (q − z)·s: by the scale, and by q where that is a quantized number on the way of a derivative. */
export const rule: OpRule<"DequantizeLinear"> = {
  op: "DequantizeLinear",
  since: 21,
  vjp: (c, node, [dy], need) => {
    const { b } = c;
    if (!dy) return [null, null, null];
    const scale = spread(b, node, node.input(1), node.input(0));
    const d = e.cast(b, dy, scale.dtype);
    return [
      need[0] ? e.mul(b, d, scale) : null,
      need[1] ? (c.vjp([scale], [e.mul(b, d, steps(b, node))], [node.input(1)])[0] ?? null) : null,
      null,
    ];
  },
  jvp: ({ b }, node, [dq, ds]) => {
    const [q, y] = [node.input(0), node.output()];
    const terms = [
      dq ? e.mul(b, dq, spread(b, node, node.input(1), q)) : null,
      ds ? e.mul(b, steps(b, node), spread(b, node, ds, q)) : null,
    ].filter((t) => t !== null);
    return [
      terms.length > 0
        ? e.cast(
            b,
            terms.reduce((p, t) => e.add(b, p, t)),
            y.dtype,
          )
        : null,
    ];
  },
  samples: [
    { inputs: [q("int8", [2, 3], [-7, 3, 0, 5, 9, -2]), { shape: [], values: [0.3] }, zero("int8", [], [2])] },
    {
      name: "one scale a column",
      inputs: [q("uint8", [2, 3], [7, 3, 0, 5, 9, 2]), { shape: [3], range: [0.1, 1] }, zero("uint8", [3], [1, 2, 3])],
      attributes: { axis: int(1) },
    },
    {
      name: "one scale a block, the last one short",
      inputs: [q("int8", [5, 2], [1, -2, 3, 4, -5, 6, 7, 8, 9, -9]), { shape: [3, 2], range: [0.1, 1] }],
      attributes: { axis: int(0), block_size: int(2) },
    },
  ],
};

function q(dtype: "int8" | "uint8", shape: number[], values: number[]) {
  return { shape, dtype, values };
}

function zero(dtype: "int8" | "uint8", shape: number[], values: number[]) {
  return { shape, dtype, values, constant: true };
}
