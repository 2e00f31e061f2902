import { argument } from "./argument.js";
import type { OpRule } from "./rule.js";

/** y = where x is smallest along an axis. */
export const rule: OpRule<"ArgMin"> = argument("ArgMin");
