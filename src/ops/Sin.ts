import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = sin x, y′ = cos x. */
export const rule: OpRule<"Sin"> = pointwise("Sin", 7, (b, x) => e.cos(b, x));
