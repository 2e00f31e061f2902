import { extremum } from "./extremum.js";
import type { OpRule } from "./rule.js";

/** y = max of the inputs, elementwise. */
export const rule: OpRule<"Max"> = extremum("Max");
