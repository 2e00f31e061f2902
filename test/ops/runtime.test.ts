import { rules } from "../../src/ops/index.js";
import type { OpRule } from "../../src/ops/rule.js";
import { checkInRuntime } from "./check_runtime.js";

describe("derivative graphs in the stock runtime, float32", () => {
  for (const rule of Object.values(rules) as OpRule[]) it(rule.op, () => checkInRuntime(rule));
});
