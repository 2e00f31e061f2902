import { int, tensorType } from "../ir/graph.js";
import { freshDim, type Dim } from "../util/shape.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** Blocks of the plane become blocks of channels. */
export const rule: OpRule<"SpaceToDepth"> = {
  ...composite<"SpaceToDepth">({
    op: "SpaceToDepth",
    since: 13,
    decompose: (b, node) => {
      const x = node.input(0);
      const y = node.output();
      const size = node.int("blocksize", 1);
      const [n = 1, c = 1, h = 1, w = 1] = x.dims;
      const part = (d: Dim): Dim => (typeof d === "number" ? d / size : freshDim());
      const block = b.int64s([size]);
      const target = e.joinConstants(b, [
        b.int64s([0]),
        e.dimOf(b, x, 1),
        e.dimOf(b, y, 2),
        block,
        e.dimOf(b, y, 3),
        block,
      ]);
      const blocks = e.reshapeTo(b, x, target, tensorType(x.dtype, [n, c, part(h), size, part(w), size]));
      const turned = e.transpose(b, blocks, [0, 3, 5, 1, 2, 4]);
      return [e.reshapeTo(b, turned, e.shapeOf(b, y), y.type)];
    },
    samples: [{ inputs: [{ shape: [2, 2, 4, 2] }], attributes: { blocksize: int(2) } }],
  }),
  jvp: "linear",
};
