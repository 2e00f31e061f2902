import { expect } from "chai";
import { rules } from "../../src/ops/index.js";
import type { OpRule } from "../../src/ops/rule.js";
import { checkRule } from "./check.js";

const all = Object.values(rules) as OpRule[];

describe("differentiation rules", () => {
  for (const rule of all)
    it(`${rule.op}: both modes, to the second order, against float64 differences`, () => checkRule(rule));

  it("are named after their files", () => {
    for (const [name, rule] of Object.entries(rules)) expect(rule.op).to.equal(name);
  });
});
