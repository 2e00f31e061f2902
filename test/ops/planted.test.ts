import { expect } from "chai";
import type { Node } from "../../src/ir/graph.js";
import { ruleOf } from "../../src/ops/builder.js";
import * as e from "../../src/ops/emit.js";
import { rules } from "../../src/ops/index.js";
import { lowered } from "../../src/ops/lowered/index.js";
import type { OpRule, RuleContext, Values } from "../../src/ops/rule.js";
import { checkRule } from "./check.js";

const table = rules as unknown as Record<string, OpRule>;
const loweredTable = lowered as unknown as Record<string, OpRule>;
const all = [...Object.values(table), ...Object.values(loweredTable)];

/** Runs `body` with the rule of one operator replaced. */
function withRule(wrong: OpRule, body: () => void): void {
  const name = wrong.domain ? `${wrong.domain}::${wrong.op}` : wrong.op;
  const owner = name in loweredTable ? loweredTable : table;
  const right = owner[name]!;
  owner[name] = wrong;
  try {
    body();
  } finally {
    owner[name] = right;
  }
}

/** The message with which the checker refuses the rule, or null where it accepts. */
function refusal(wrong: OpRule): string | null {
  let message: string | null = null;
  withRule(wrong, () => {
    try {
      checkRule(wrong, { shapes: ["static"] });
    } catch (error) {
      message = (error as Error).message;
    }
  });
  return message;
}

/** The first derivative of a floating-point output that is not null, times 1.001. */
function spoil({ b }: RuleContext, node: Node | null, values: Values): { values: Values; spoiled: boolean } {
  const at = values.findIndex((v, i) => v !== null && !(node && isQuantized(node, i)));
  return { values: values.map((v, i) => (v && i === at ? e.scale(b, v, 1.001) : v)), spoiled: at >= 0 };
}

/** Of a quantized number alone no check sees the tangent: test/ops/quantization.test.ts does. */
const isQuantized = (node: Node, i: number): boolean => ruleOf(node)?.quantizes === true && i === 0;

interface Plant {
  wrong: OpRule;
  /** Whether the wrong derivative was ever asked for: a boolean operator's is not. */
  used: () => boolean;
}

function plantVjp(rule: OpRule): Plant | null {
  const { vjp } = rule;
  if (vjp === "zero") return null;
  let used = false;
  const wrong = (c: RuleContext, node: Node, cotangents: Values, need: readonly boolean[]): Values => {
    const { values, spoiled } = spoil(c, null, vjp(c, node, cotangents, need));
    used ||= spoiled;
    return values;
  };
  return { wrong: { ...rule, vjp: wrong }, used: () => used };
}

function plantJvp(rule: OpRule): Plant | null {
  const { jvp } = rule;
  if (typeof jvp === "string") return null;
  let used = false;
  const wrong = (c: RuleContext, node: Node, tangents: Values): Values => {
    const { values, spoiled } = spoil(c, node, jvp(c, node, tangents));
    used ||= spoiled;
    return values;
  };
  return { wrong: { ...rule, jvp: wrong }, used: () => used };
}

function expectRefused(rule: OpRule, plant: Plant | null): void {
  if (!plant) return;
  const message = refusal(plant.wrong);
  if (!plant.used()) return;
  expect(message, `a wrong rule of ${rule.op} was accepted`).to.be.a("string");
  expect(message).to.match(new RegExp(`^${rule.op}, sample "`));
}

/** Its outputs are integers, so that no sample of one node has a derivative: test/ops/quantization.test.ts checks it. */
const onlyQuantized = (rule: OpRule): boolean => rule.op === "QuantizeLinear";

describe("the checker of rules refuses", () => {
  it("every VJP that is wrong by a factor of 1.001", () => {
    for (const rule of all) expectRefused(rule, plantVjp(rule));
  });

  it("every JVP that is wrong by a factor of 1.001", () => {
    for (const rule of all) expectRefused(rule, plantJvp(rule));
  });

  it("every rule that says zero where there is a derivative", () => {
    for (const rule of all.filter((r) => r.vjp !== "zero" && r.jvp !== "zero" && !onlyQuantized(r))) {
      const message = refusal({ ...rule, vjp: "zero", jvp: "zero" });
      expect(message, `a zero rule of ${rule.op} was accepted`).to.match(new RegExp(`^${rule.op}, sample "`));
    }
  });

  it("a nonlinear operator declared linear", () => {
    expect(refusal({ ...table.Tanh!, jvp: "linear" })).to.match(/^Tanh, sample ".*": JVP against differences/);
  });

  it("an inferred shape that is not the value's", () => {
    const wrong: OpRule = {
      ...table.Tanh!,
      infer: (node) => [{ kind: "tensor", dtype: node.input(0).dtype, shape: [7] }],
    };
    expect(refusal(wrong)).to.match(/^Tanh, sample /);
  });
});
