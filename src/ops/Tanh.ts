import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = tanh x, y′ = 1 − y². */
export const rule: OpRule<"Tanh"> = pointwise("Tanh", 13, (b, _, y) => e.sub(b, e.scalarLike(b, 1, y), e.square(b, y)));
