import * as e from "./emit.js";

/**
 * The product of the factors that are 0, `count` of them, whose sum is `sum`: 1 where there are none, and 0 else. Of one
 * it is the sum, and so has its derivative.
 */
export const vanishing = (b: e.B, count: e.V, sum: e.V): e.V => {
  const one = e.scalarLike(b, 1, count);
  const zero = e.scalarLike(b, 0, count);
  return e.where(b, e.equal(b, count, zero), one, e.where(b, e.equal(b, count, one), sum, zero));
};

/** The factors with 1 in the place of those that are 0, these alone (all of them 0), and where they are, as 0 and 1. */
export function parted(b: e.B, x: e.V): { rest: e.V; zeros: e.V; isZero: e.V } {
  const zero = e.scalarLike(b, 0, x);
  const vanishes = e.equal(b, x, zero);
  return {
    rest: e.where(b, vanishes, e.scalarLike(b, 1, x), x),
    zeros: e.where(b, vanishes, x, zero),
    isZero: e.cast(b, vanishes, x.dtype),
  };
}
