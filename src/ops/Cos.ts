import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = cos x, y′ = −sin x. */
export const rule: OpRule<"Cos"> = pointwise("Cos", 7, (b, x) => e.neg(b, e.sin(b, x)));
