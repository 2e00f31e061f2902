import { argument } from "./argument.js";
import type { OpRule } from "./rule.js";

/** y = where x is largest along an axis. */
export const rule: OpRule<"ArgMax"> = argument("ArgMax");
