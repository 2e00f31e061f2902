import { rules } from "../../src/ops/index.js";
import { lowered } from "../../src/ops/lowered/index.js";
import type { OpRule } from "../../src/ops/rule.js";
import { checkInRuntime } from "./check_runtime.js";

describe("derivative graphs in the stock runtime, float32", () => {
  const all: OpRule[] = [...(Object.values(rules) as OpRule[]), ...Object.values(lowered)];
  for (const rule of all) it(`${rule.domain ?? ""} ${rule.op}`.trim(), () => checkInRuntime(rule));
});
