/** Models of other opsets, and with functions of their own, in the form that the rest of the project reads. */
export { timeFirst } from "./batch_first.js";
export { collectSequences } from "./collect.js";
export { checkControl } from "./control.js";
export { checkDomains } from "./domains.js";
export { inlineFunctions } from "./inline.js";
export { liftConstants } from "./lift.js";
export { newestOpset, oldestOpset } from "./raise.js";
export { sequenceOps, unpackSequences } from "./sequences.js";
export { upgrade } from "./upgrade.js";
