/**
 * The checker of differentiation rules. Every sample of a rule, in float64 over the reference evaluator: both modes
 * against central differences along a random direction, forward against reverse, the second derivative against
 * differences of the gradient and in two orders of modes, and everything again with shapes that are known only at run time.
 */
import type { Value } from "../../src/ir/graph.js";
import { newBuilder, ruleOf } from "../../src/ops/builder.js";
import { graphsWithin } from "../../src/passes/pass.js";
import type { OpRule, Sample } from "../../src/ops/rule.js";
import type { Array64 } from "../reference/array.js";
import { evaluate, type Values64 } from "../reference/evaluate.js";
import { addCase } from "./check_case.js";
import type { Case, Shapes } from "./check_derivatives.js";
import { labelOf } from "./check_sample.js";
import { checkTypes } from "./check_types.js";

/** Largest relative errors: against differences, and between two exact ways to the same numbers. */
const differences = 1e-7;
const rounding = 1e-11;
/** Errors are relative to the largest number compared, but to no less than this. */
const floor = 1e-3;
/** Step of the differences; Richardson's extrapolation also takes twice as much. */
const step = 2.5e-4;

type Lists = readonly Float64Array[];

/** Checks every sample of `rule`; throws an Error that names the operator, the sample and what disagrees. */
export function checkRule(rule: OpRule, options: { shapes?: readonly Shapes[] } = {}): void {
  if (rule.samples.length === 0) throw new Error(`${rule.op}: the rule has no samples`);
  for (const sample of rule.samples) checkSample(rule, sample, options.shapes ?? ["static", "named", "erased"]);
}

export function checkSample(rule: OpRule, sample: Sample, shapes: readonly Shapes[]): void {
  const make = (mode: Shapes) => (): Case => addCase(newBuilder("check"), rule, sample, "float64", mode, "");
  labelled(labelOf(rule, sample), () => checkCases(shapes.map(make)));
}

/**
 * Checks the first of the cases against differences, and that the others, of the same numbers, agree with it. Errors may
 * be larger by the factor `slack`.
 */
export function checkCases(cases: readonly (() => Case)[], slack = 1): void {
  let known: Results | null = null;
  for (const make of cases) {
    const c = make();
    labelled(c.label, () => {
      const results = evaluateCase(c);
      if (known) return agreeWith(c, results, known);
      checkNumerically(c, results, slack);
      known = results;
    });
  }
}

/** Runs `body`; the message of what it throws begins with `label`. */
function labelled(label: string, body: () => void): void {
  try {
    body();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw message.startsWith(label) ? cause : new Error(`${label}: ${message}`, { cause });
  }
}

/** Operators in the graphs of the case that lack a rule: derivatives of derivatives would end there. */
export function unclosed(c: Case): string[] {
  const nodes = [...graphsWithin(c.b.graph)].flatMap((g) => g.nodes);
  return [...new Set(nodes.filter((n) => !ruleOf(n)).map((n) => n.op))];
}

interface Results {
  pullback: Lists;
  push: Lists;
  gradients: Lists;
  hvp: Lists;
}

/** The numbers of `values`; zeros where the derivative is null. */
const numbers = (known: Values64, values: readonly (Value | null)[], like: readonly Value[]): Lists =>
  values.map((v, i) => (v ? known.get(v)!.data : new Float64Array(known.get(like[i]!)!.data.length)));

function evaluateCase(c: Case): Results & { known: Values64 } {
  const open = unclosed(c);
  if (open.length > 0) throw new Error(`${c.label}: derivatives emit ${open.join(", ")}, which have no rule`);
  const known = evaluate(c.b.graph, c.feeds, optionsOf(c));
  checkTypes(c, known);
  sameShapes(c, known);
  for (const [y, output] of c.terms ?? [])
    compare(`${c.label}: the decomposition`, [known.get(y)!.data], [known.get(output)!.data], rounding);
  return {
    known,
    pullback: numbers(known, c.pullback, c.xs),
    push: numbers(known, c.push, c.ys),
    gradients: numbers(known, c.gradients, c.xs),
    hvp: numbers(known, c.hvp, c.xs),
  };
}

/** Cotangents have the shapes of inputs, tangents of outputs. */
function sameShapes(c: Case, known: Values64): void {
  const check = (what: string, derivatives: readonly (Value | null)[], primals: readonly Value[]): void =>
    derivatives.forEach((d, i) => {
      const [got, expected] = [d && known.get(d)!, known.get(primals[i]!)!];
      if (got && (got.dims.join() !== expected.dims.join() || got.dtype !== expected.dtype))
        throw new Error(
          `${c.label}: ${what} ${i} is ${got.dtype}[${got.dims.join(",")}]; ` +
            `its primal is ${expected.dtype}[${expected.dims.join(",")}]`,
        );
    });
  check("VJP", c.pullback, c.xs);
  check("JVP", c.push, c.ys);
  check("HVP", c.hvp, c.xs);
  check("reverse-over-reverse HVP", c.hvpReverse, c.xs);
}

function checkNumerically(c: Case, r: Results & { known: Values64 }, slack: number): void {
  const { known } = r;
  const dy = alongDirection(c, (at) => numbers(at, c.ys, c.ys));
  const expect = (what: string, got: Lists, expected: Lists, tolerance: number): void =>
    compare(`${c.label}: ${what}`, got, expected, tolerance * slack);

  const cs = numbers(known, c.cs, c.cs);
  const vs = numbers(known, c.vs, c.vs);
  expect("JVP against differences", r.push, dy, differences);
  expect("VJP against differences", [dot(r.pullback, vs)], [dot(cs, dy)], differences);
  expect("⟨c, Jv⟩ against ⟨Jᵀc, v⟩", [dot(r.pullback, vs)], [dot(cs, r.push)], rounding);

  expect("VJP for one input against all", numbers(known, c.pullbackOf, c.xs), r.pullback, rounding);
  const pushes = c.pushOf.map((push) => numbers(known, push, c.ys));
  if (pushes.length > 0) expect("JVPs of single inputs, summed, against all", sum(pushes), r.push, rounding);
  const pulls = c.pullbackFrom.map((pull) => numbers(known, pull, c.xs));
  if (pulls.length > 0) expect("VJPs of single outputs, summed, against all", sum(pulls), r.pullback, rounding);

  const dg = alongDirection(c, (at) => numbers(at, c.gradients, c.xs));
  expect("HVP against differences of the gradient", r.hvp, dg, differences);
  expect("HVP, reverse against forward over reverse", numbers(known, c.hvpReverse, c.xs), r.hvp, rounding);
}

function agreeWith(c: Case, got: Results, known: Results): void {
  const expect = (what: string, name: keyof Results): void =>
    compare(`${c.label}: ${what} against static shapes`, got[name], known[name], rounding);
  expect("JVP", "push");
  expect("VJP", "pullback");
  expect("gradient", "gradients");
  expect("HVP", "hvp");
}

/** The derivative along the directions of all inputs, by central differences and one step of Richardson's. */
function alongDirection(c: Case, f: (known: Values64) => Lists): Lists {
  const at = (h: number): Lists => {
    const feeds = new Map<Value, Array64>(c.feeds);
    c.xs.forEach((x, i) => {
      const [start, v] = [c.feeds.get(x)!, c.feeds.get(c.vs[i]!)!];
      feeds.set(x, { ...start, data: start.data.map((s, j) => s + h * v.data[j]!) });
    });
    return f(evaluate(c.b.graph, feeds, { ...optionsOf(c), wanted: [...c.ys, ...c.gradients] }));
  };
  const [far0, near0, near1, far1] = [-2 * step, -step, step, 2 * step].map(at) as [Lists, Lists, Lists, Lists];
  return near1.map((up, i) =>
    up.map((u, j) => (8 * (u - near0[i]![j]!) - (far1[i]![j]! - far0[i]![j]!)) / (12 * step)),
  );
}

const optionsOf = (c: Case) => ({ straightThrough: c.straightThrough ?? false });

const dot = (a: Lists, b: Lists): Float64Array =>
  Float64Array.of(a.reduce((s, x, i) => x.reduce((t, v, j) => t + v * b[i]![j]!, s), 0));

const sum = (terms: readonly Lists[]): Lists => terms.reduce((p, q) => p.map((x, i) => x.map((v, j) => v + q[i]![j]!)));

function compare(what: string, got: Lists, expected: Lists, tolerance: number): void {
  let scale = floor;
  for (const list of [...got, ...expected]) for (const x of list) scale = Math.max(scale, Math.abs(x));
  got.forEach((list, k) =>
    list.forEach((x, j) => {
      const error = Math.abs(x - expected[k]![j]!) / scale;
      if (error <= tolerance) return;
      throw new Error(
        `${what}: element ${j} of ${k} is ${x}, expected ${expected[k]![j]!}: ` +
          `relative error ${error.toExponential(1)}, at most ${tolerance.toExponential(0)}`,
      );
    }),
  );
}
