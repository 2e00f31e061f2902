import { extremum } from "./extremum.js";
import type { OpRule } from "./rule.js";

/** y = min of the inputs, elementwise. */
export const rule: OpRule<"Min"> = extremum("Min");
