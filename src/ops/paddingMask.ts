import type { Node } from "../ir/graph.js";
import { UserError } from "../util/assert.js";
import { indexAlong } from "./attention.js";
import * as e from "./emit.js";

/**
 * What ONNX Runtime's attention adds to scores for a mask of keys: the filter value where it says 0. The mask is of keys
 * [batch, keys], of queries and keys [batch, queries, keys], or the number of keys that count, [batch].
 */
export function paddingBias(b: e.B, node: Node, mask: e.V, keys: e.V): e.V {
  const kept = (): e.V => {
    switch (mask.dims.length) {
      case 1:
        return e.unsqueeze(
          b,
          e.less(b, e.cast(b, indexAlong(b, keys, 2), mask.dtype), e.unsqueeze(b, mask, [1])),
          [1, 2],
        );
      case 2:
        return e.unsqueeze(b, e.greater(b, mask, b.scalar(0, mask.dtype)), [1, 2]);
      case 3:
        return e.unsqueeze(b, e.greater(b, mask, b.scalar(0, mask.dtype)), [1]);
      default:
        throw new UserError(`${node.label}: a mask of ${mask.dims.length} axes has no derivative here`);
    }
  };
  const filter = node.float("mask_filter_value", -10000);
  return e.where(b, kept(), e.scalarLike(b, 0, keys), e.scalarLike(b, filter, keys));
}

/** Which keys lie not after their queries, the last query at the last key: [queries, keys]. */
export function notAfter(b: e.B, q: e.V, k: e.V): e.V {
  const before = e.sub(b, e.dimOf(b, k, 2), e.dimOf(b, q, 2));
  return e.lessOrEqual(b, indexAlong(b, k, 2), e.add(b, e.unsqueeze(b, indexAlong(b, q, 2), [1]), before));
}

/** Sum of two additions to scores, either of which may be absent. */
export const addedUp = (b: e.B, p: e.V | null | undefined, q: e.V | null | undefined): e.V | null =>
  p && q ? e.add(b, p, q) : (p ?? q ?? null);
