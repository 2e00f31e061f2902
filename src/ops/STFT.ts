import { int, tensorType } from "../ir/graph.js";
import { freshDim } from "../util/shape.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** y = the Fourier transforms of frames of a signal, each times a window: [batch, frames, frequencies, 2]. */
export const rule: OpRule<"STFT"> = composite({
  op: "STFT",
  since: 17,
  decompose: (b, node) => {
    const [signal, step, window, y] = [node.input(0), node.input(1), node.inputs[2], node.output()];
    const given = node.inputs[3];
    const length = given ? e.reshape(b, given, []) : e.squeeze(b, e.dimOf(b, window ?? signal, window ? 0 : 1), [0]);
    const frames = e.rangeTo(b, e.squeeze(b, e.dimOf(b, y, 1), [0]));
    const starts = e.mul(b, frames, e.reshape(b, step, []));
    const places = e.add(b, e.unsqueeze(b, starts, [1]), e.rangeTo(b, length));
    const framed = e.gather(b, signal, places, 1);
    const windowed = window ? e.mul(b, framed, e.unsqueeze(b, window, [1])) : framed;
    const attributes = { onesided: int(node.int("onesided", 1)) };
    const type = tensorType(signal.dtype, [...framed.dims.slice(0, 2), y.dims[2] ?? freshDim(), 2]);
    return [b.op("DFT", [windowed, null, b.scalar(2, "int64")], attributes, { types: [type] })];
  },
  samples: [
    { inputs: [{ shape: [2, 7, 1] }, number(2), { shape: [4] }] },
    {
      name: "a length, no window, a complex signal",
      inputs: [{ shape: [1, 6, 2] }, number(1), null, number(4)],
      attributes: { onesided: int(0) },
    },
  ],
});

function number(value: number) {
  return { shape: [], dtype: "int64" as const, values: [value], constant: true };
}
