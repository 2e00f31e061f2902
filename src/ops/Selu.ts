import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

// ONNX's defaults, which are float32 numbers.
const defaultAlpha = 1.67326319217681884765625;
const defaultGamma = 1.05070102214813232421875;

/** y = γx where x > 0, else γα(eˣ − 1); y′ = y + γα below 0 and at 0, as in PyTorch. */
export const rule: OpRule<"Selu"> = pointwise(
  "Selu",
  6,
  (b, x, y, node) => {
    const gamma = node.float("gamma", defaultGamma);
    const below = e.shift(b, y, gamma * node.float("alpha", defaultAlpha));
    return e.where(b, e.isPositive(b, x), e.scalarLike(b, gamma, x), below);
  },
  [{ inputs: [{ shape: [2, 3], avoid: { points: [0], distance: 0.1 } }] }],
);
