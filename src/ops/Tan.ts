import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = tan x, y′ = 1 + y². */
export const rule: OpRule<"Tan"> = pointwise("Tan", 7, (b, _, y) => e.shift(b, e.square(b, y), 1));
