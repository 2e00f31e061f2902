/** Models of other opsets, and with functions of their own, in the form that the rest of the project reads. */
export { inlineFunctions } from "./inline.js";
export { newestOpset, oldestOpset } from "./raise.js";
export { sequenceOps, unpackSequences } from "./sequences.js";
export { upgrade } from "./upgrade.js";
