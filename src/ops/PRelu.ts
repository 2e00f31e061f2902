import * as e from "./emit.js";
import type { OpRule } from "./rule.js";
import { broadcasting } from "./types.js";

/** y = x where x > 0, else s·x, with a slope s that broadcasts; ∂y/∂x = s at 0, as in PyTorch. */
export const rule: OpRule<"PRelu"> = {
  op: "PRelu",
  since: 16,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null];
    const [x, slope] = [node.input(0), node.input(1)];
    const positive = e.isPositive(b, x);
    return [
      need[0] ? e.where(b, positive, dy, e.mul(b, dy, slope)) : null,
      need[1] ? e.where(b, positive, e.scalarLike(b, 0, dy), e.mul(b, dy, x)) : null,
    ];
  },
  jvp: ({ b }, node, [dx, ds]) => {
    const [x, slope] = [node.input(0), node.input(1)];
    const positive = e.isPositive(b, x);
    const first = dx ? e.where(b, positive, dx, e.mul(b, dx, slope)) : null;
    const second = ds ? e.where(b, positive, e.scalarLike(b, 0, ds), e.mul(b, ds, x)) : null;
    return [first && second ? e.add(b, first, second) : (first ?? second)];
  },
  infer: broadcasting(),
  samples: [
    { inputs: [{ shape: [2, 3], avoid: { points: [0], distance: 0.1 } }, { shape: [2, 3] }] },
    {
      name: "a slope a channel",
      inputs: [{ shape: [2, 3, 2], avoid: { points: [0], distance: 0.1 } }, { shape: [3, 1] }],
    },
  ],
};
