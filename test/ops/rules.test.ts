import { expect } from "chai";
import { rules } from "../../src/ops/index.js";
import { lowered } from "../../src/ops/lowered/index.js";
import type { OpRule } from "../../src/ops/rule.js";
import { checkRule } from "./check.js";

const all: OpRule[] = [...(Object.values(rules) as OpRule[]), ...Object.values(lowered)];

const nameOf = ({ op, domain }: OpRule): string => (domain ? `${domain}::${op}` : op);

describe("differentiation rules", () => {
  for (const rule of all)
    it(`${nameOf(rule)}: both modes, to the second order, against float64 differences`, () => checkRule(rule));

  it("are named after their files", () => {
    for (const [name, rule] of [...Object.entries(rules), ...Object.entries(lowered)])
      expect(nameOf(rule)).to.equal(name);
  });
});
