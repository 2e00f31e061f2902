import { int, string, tensorType, type Type } from "../../../ir/graph.js";
import { check } from "../../../util/assert.js";
import { freshDim } from "../../../util/shape.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";

/** y = f(a convolution of each channel with its own kernel over what came before, and x); and what the next call needs of it. */
export const rule: LoweredRule<"CausalConvWithState"> = composite({
  op: "CausalConvWithState",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const [x, w, bias, past] = [node.input(0), node.input(1), node.inputs[2] ?? null, node.inputs[3] ?? null];
    const [channels, , size] = w.dims;
    check(
      typeof channels === "number" && typeof size === "number" && x.dims.length === 3,
      () => `${node.label}: a derivative needs x of rank 3 and the shape of its kernel`,
    );
    const before = b.int64s([size - 1]);
    const padded = past ? e.concat(b, [past, x], 2) : e.pad(b, x, [before], [b.int64s([0])], [2], longer(x, size - 1));
    const y = b.op("Conv", [padded, w, bias], { group: int(channels) }, { types: [x.type] });
    const activation = node.string("activation", "none");
    check(["none", "silu", "swish"].includes(activation), () => `${node.label}: its activation is ${activation}`);
    const held = tensorType(x.dtype, [x.dims[0] ?? 1, channels, size - 1]);
    const end = e.dimOf(b, padded, 2);
    return [
      activation === "none" ? y : e.mul(b, y, e.sigmoid(b, y)),
      e.slice(b, padded, e.sub(b, end, before), end, [2], held),
    ];
  },
  samples: [
    { inputs: [{ shape: [2, 3, 4] }, kernel(3, 2)], outputs: 2 },
    {
      name: "what came before, a bias, SiLU",
      inputs: [{ shape: [1, 2, 2] }, kernel(2, 4), { shape: [2] }, { shape: [1, 2, 3] }],
      attributes: { activation: string("silu") },
      outputs: 2,
    },
  ],
});

function longer(x: e.V, by: number): Type {
  const [batch = 1, channels = 1, length = 1] = x.dims;
  return tensorType(x.dtype, [batch, channels, typeof length === "number" ? length + by : freshDim()]);
}

function kernel(channels: number, size: number) {
  return { shape: [channels, 1, size], fixed: [0, 2] };
}
