import { check } from "../../../util/assert.js";
import { composite } from "../../composite.js";
import * as e from "../../emit.js";
import type { LoweredRule } from "../../rule.js";
import { constantScalar } from "../../shapes.js";

/** y = x with an axis of 1 put in. */
export const rule: LoweredRule<"ExpandDims"> = composite({
  op: "ExpandDims",
  domain: "com.microsoft",
  since: 1,
  decompose: (b, node) => {
    const axis = constantScalar(b, node.input(1));
    check(axis !== undefined, () => `${node.label}: its axis is computed; a derivative needs it constant`);
    return [e.unsqueeze(b, node.input(0), [axis])];
  },
  samples: [{ inputs: [{ shape: [2, 3] }, { shape: [], dtype: "int32", values: [-1], constant: true }] }],
});
