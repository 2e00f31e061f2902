import * as e from "./emit.js";
import { pointwise } from "./pointwise.js";
import type { OpRule } from "./rule.js";

/** y = ln(1 + eˣ), y′ = σ(x). */
export const rule: OpRule<"Softplus"> = pointwise("Softplus", 1, (b, x) => e.sigmoid(b, x));
