import { newModel, type Value } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import type { OpRule, Sample } from "../../src/ops/rule.js";
import { serializeModel } from "../../src/serde/index.js";
import type { Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { runOnce } from "../support/ort.js";
import { addCase } from "./check_case.js";
import type { Shapes } from "./check_derivatives.js";

/** Largest error of the runtime's float32 numbers, relative to the largest number of an output and no less than 1. */
const tolerance = 1e-3;

/**
 * Opens the derivative graphs of a rule in the stock runtime, in float32, with static shapes and with none known, and
 * runs them once: everything loads, is finite where float64 is, and agrees with the reference evaluator.
 */
export async function checkInRuntime(rule: OpRule): Promise<void> {
  try {
    await load(rule, rule.samples);
  } catch (cause) {
    // One model holds every sample; in a model of its own the one at fault can be named.
    for (const sample of rule.samples)
      for (const shapes of ["static", "erased"] as const) await load(rule, [sample], [shapes]);
    throw cause;
  }
}

async function load(
  rule: OpRule,
  samples: readonly Sample[],
  modes: readonly Shapes[] = ["static", "erased"],
): Promise<void> {
  const b = newBuilder(rule.op);
  const feeds = new Map<Value, Array64>();
  const labels = new Map<string, string>();
  let count = 0;
  const output = (value: Value | null, label: string): void => {
    if (!value) return;
    const name = `out${count++}`;
    labels.set(name, label);
    b.output(value, name);
  };
  let title = rule.op;
  for (const sample of samples)
    for (const shapes of modes) {
      const c = addCase(b, rule, sample, "float32", shapes, `s${count++}_`);
      title = c.label;
      for (const [v, x] of c.feeds) feeds.set(v, x);
      c.node.outputs.forEach((v) => output(v, `${c.label}: output`));
      c.pullback.forEach((v) => output(v, `${c.label}: VJP`));
      c.push.forEach((v) => output(v, `${c.label}: JVP`));
      c.hvp.forEach((v) => output(v, `${c.label}: HVP`));
      c.hvpReverse.forEach((v) => output(v, `${c.label}: reverse-over-reverse HVP`));
    }
  const expected = evaluate(b.graph, feeds);
  const named = Object.fromEntries([...feeds].map(([v, x]) => [v.name, x]));
  let got: Record<string, Array64>;
  try {
    got = await runOnce(serializeModel(newModel(b.graph, Math.max(21, rule.since))), named);
  } catch (cause) {
    throw new Error(`${title}: the runtime refuses the derivatives: ${(cause as Error).message}`, { cause });
  }
  for (const o of b.graph.outputs) compare(labels.get(o.name) ?? o.name, got[o.name]!, expected.get(o)!);
}

function compare(what: string, got: Array64, expected: Array64): void {
  const shape = `${expected.dtype}[${expected.dims.join(",")}]`;
  const found = `${got.dtype}[${got.dims.join(",")}]`;
  if (found !== shape) throw new Error(`${what} is ${found} in the runtime, ${shape} in the reference`);
  const scale = expected.data.reduce((m, x) => Math.max(m, Math.abs(x)), 1);
  got.data.forEach((x, i) => {
    const error = Math.abs(x - expected.data[i]!) / scale;
    if (error <= tolerance) return;
    throw new Error(`${what}: element ${i} is ${x} in the runtime, ${expected.data[i]!} in the reference`);
  });
}
