import { loopJvp } from "./loopJvp.js";
import { loopSamples } from "./loopSamples.js";
import { loopVjp } from "./loopVjp.js";
import type { OpRule } from "./rule.js";

/**
 * A body that runs for a number of times, or as long as a condition holds. Inputs: trip count, condition, carries; outputs:
 * the carries in the end, then what the iterations gave beside them, along a new first axis. Both modes are Loops over
 * the iterations that were run, so that their derivatives are this rule's again.
 */
export const rule: OpRule<"Loop"> = {
  op: "Loop",
  since: 21,
  vjp: loopVjp,
  jvp: loopJvp,
  samples: loopSamples,
};
