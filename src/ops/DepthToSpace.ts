import { int, string, tensorType } from "../ir/graph.js";
import { freshDim } from "../util/shape.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** Blocks of channels become blocks of the plane: by depth, column, row (DCR), or column, row, depth (CRD). */
export const rule: OpRule<"DepthToSpace"> = {
  ...composite<"DepthToSpace">({
    op: "DepthToSpace",
    since: 13,
    decompose: (b, node) => {
      const x = node.input(0);
      const [n = 1, c = 1, h = 1, w = 1] = x.dims;
      const size = node.int("blocksize", 1);
      const depth = typeof c === "number" ? c / size ** 2 : freshDim();
      const crd = node.string("mode", "DCR") === "CRD";
      const target = e.joinConstants(b, [
        b.int64s(crd ? [0, -1, size, size] : [0, size, size, -1]),
        e.dimOf(b, x, 2),
        e.dimOf(b, x, 3),
      ]);
      const dims = crd ? [n, depth, size, size, h, w] : [n, size, size, depth, h, w];
      const blocks = e.reshapeTo(b, x, target, tensorType(x.dtype, dims));
      const turned = e.transpose(b, blocks, crd ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2]);
      return [e.reshapeTo(b, turned, e.shapeOf(b, node.output()), node.output().type)];
    },
    samples: [
      { inputs: [{ shape: [2, 8, 2, 3] }], attributes: { blocksize: int(2) } },
      { name: "CRD", inputs: [{ shape: [1, 8, 2, 1] }], attributes: { blocksize: int(2), mode: string("CRD") } },
    ],
  }),
  jvp: "linear",
};
