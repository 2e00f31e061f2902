/**
 * Differentiates ONNX's own backend cases and our own samples to the second order, and writes docs/OPERATORS.md.
 *
 *     npx tsc && node build/scripts/operators_table.js
 *
 * Reads the archive in ../shared/data/onnx. `--only TEXT` runs the cases whose names contain TEXT, says how each ended, and
 * writes nothing. Exits 1 where a case or a sample fails.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { microsoft } from "../src/convert/microsoft.js";
import { kernelsOf } from "../src/lower/kernels.js";
import { newBuilder } from "../src/ops/builder.js";
import { rules } from "../src/ops/index.js";
import { lowered } from "../src/ops/lowered/index.js";
import type { OpRule } from "../src/ops/rule.js";
import { markdownTable, type TableCell } from "../src/report/table.js";
import { addCase } from "../test/ops/check_case.js";
import { checkSample } from "../test/ops/check.js";
import { backendData, casesOf } from "../test/support/backend.js";
import { runCase, type Outcome, type Result } from "../test/support/conformance.js";
import { forms, formsOf } from "../test/support/forms.js";
import { measureNet, netsOf, type NetResult } from "../test/support/light_nets.js";
import { root } from "../test/support/root.js";

const suites = ["node", "simple", "pytorch-operator", "pytorch-converted"] as const;

/** Cases with larger values are not evaluated. */
const largest = 50_000;

/** Why an operator that the runtime executes has no derivative, or not in all its cases. */
const reasons: Readonly<Record<string, string>> = {
  Bernoulli:
    "it draws at random, and its output jumps: the derivative is zero or does not exist; refused, not trained in silence",
  RandomUniformLike: "it draws at random (in Bernoulli written out): there is nothing to differentiate",
  TreeEnsemble: "a decision tree is constant between its thresholds; refused, not trained in silence",
};

interface SuiteResult extends Result {
  suite: (typeof suites)[number];
}

/** Samples of a rule that were checked, and the forms that these have. */
interface Own {
  rule: OpRule;
  passed: number;
  failures: string[];
  forms: string[];
}

const nameOf = ({ op, domain }: OpRule): string => (domain ? `${domain}::${op}` : op);
const table = new Map<string, OpRule>(
  [...(Object.values(rules) as OpRule[]), ...(Object.values(lowered) as OpRule[])].map((rule) => [nameOf(rule), rule]),
);
const ruleNamed = (op: string): OpRule | undefined =>
  table.get(op) ?? table.get(`ai.onnx.ml::${op}`) ?? table.get(`com.microsoft::${op}`);

const shorten = (message: string): string => {
  const line = message.replace(/[|\n]/g, " ");
  return line.length > 140 ? `${line.slice(0, 137)}…` : line;
};

const having = (results: readonly Result[], ...outcomes: Outcome[]): Result[] =>
  results.filter((r) => outcomes.includes(r.outcome));
const wasRun = (results: readonly Result[]): Result[] => having(results, "passed", "failed");
const inOrder = <T>(groups: ReadonlyMap<string, T>): [string, T][] => [...groups].sort(([a], [b]) => (a < b ? -1 : 1));

function checkOwn(rule: OpRule): Own {
  const own: Own = { rule, passed: 0, failures: [], forms: [] };
  for (const sample of rule.samples) {
    try {
      checkSample(rule, sample, ["static"]);
      own.passed++;
      own.forms.push(...formsOf([addCase(newBuilder("form"), rule, sample, "float64", "static", "").node]));
    } catch (error) {
      own.failures.push((error as Error).message);
    }
  }
  return own;
}

/** Cases of one node by its operator. */
function alone(results: readonly Result[]): Map<string, Result[]> {
  const groups = new Map<string, Result[]>();
  for (const r of results) if (r.op) groups.set(r.op, [...(groups.get(r.op) ?? []), r]);
  return groups;
}

/** Passed cases of several nodes that an operator is in, with a float input and output. */
function inGraphs(results: readonly Result[]): Map<string, Result[]> {
  const groups = new Map<string, Result[]>();
  for (const r of having(results, "passed"))
    for (const op of r.derived?.inside ?? []) if (op !== r.op) groups.set(op, [...(groups.get(op) ?? []), r]);
  return groups;
}

const reachesSecond = (results: readonly Result[]): boolean =>
  having(results, "passed").some((r) => r.derived?.second ?? false);

function mode(op: string, rule: OpRule["vjp"] | OpRule["jvp"] | undefined): string {
  if (rule === undefined || op in lowered) return "by conversion";
  return typeof rule === "string" ? rule : "yes";
}

function opsetsOf(results: readonly Result[]): string {
  const opsets = results.map((r) => r.opset);
  return opsets.length > 0 ? [...new Set([Math.min(...opsets), Math.max(...opsets)])].join("–") : "";
}

function providerNotes(results: readonly Result[]): string {
  const notes = (["cpu", "cuda", "dml", "webgpu"] as const).map((provider) => {
    const gaps = new Set(having(results, "passed").flatMap((r) => r.derived?.gaps[provider] ?? []));
    return gaps.size > 0 ? `${provider}: ${[...gaps].sort().join(" ")}` : "";
  });
  return notes.filter((note) => note !== "").join("; ");
}

function note(results: readonly Result[]): string {
  const failure = having(results, "failed")[0];
  if (failure) return `${failure.name}: ${shorten(failure.message)}`;
  const aside = having(results, "not evaluated")[0];
  return aside ? `${aside.name} is not evaluated: ${shorten(aside.message)}` : "";
}

function operatorRow(op: string, results: readonly Result[], within: number, own: Own | undefined): TableCell[] {
  const run = wasRun(results);
  const passed = having(results, "passed");
  const second = passed.filter((r) => r.derived?.second);
  return [
    op,
    opsetsOf(run),
    mode(op, ruleNamed(op)?.vjp),
    mode(op, ruleNamed(op)?.jvp),
    `${second.length}/${run.length}`,
    passed.filter((r) => r.derived?.curved).length,
    passed.length - second.length,
    passed.filter((r) => r.moved).length,
    within,
    own?.passed ?? 0,
    providerNotes(results),
    note(results),
  ];
}

function formRows(results: readonly Result[], own: readonly Own[]): TableCell[][] {
  const samples = own.flatMap((o) => o.forms);
  return Object.keys(forms).map((name) => {
    const cases = having(results, "passed").filter((r) => r.derived?.forms.includes(name));
    return [
      name,
      cases.length,
      cases.filter((r) => r.derived?.second).length,
      samples.filter((form) => form === name).length,
    ];
  });
}

/** Why an operator is not differentiated: the reason given for it, or what the sweep says. */
function why(op: string, results: readonly Result[]): string {
  const message = results.find((r) => r.message !== "")?.message ?? "";
  return reasons[op] ?? (message === op ? "it has no rule" : shorten(message));
}

const ownCells = ({ rule, passed }: Own): TableCell[] => [
  nameOf(rule),
  mode(nameOf(rule), rule.vjp),
  mode(nameOf(rule), rule.jvp),
  `${passed}/${rule.samples.length}`,
];

function report(results: readonly SuiteResult[], own: readonly Own[], nets: readonly NetResult[]): string {
  const groups = inOrder(alone(results));
  const within = inGraphs(results);
  const ownOf = (op: string): Own | undefined => own.find(({ rule }) => rule === ruleNamed(op));
  const executed = ([, rs]: [string, Result[]]): boolean =>
    having(rs, "not float", "not run by the runtime").length < rs.length;
  const floats = groups.filter(executed);
  const differentiated = floats.filter(([, rs]) => wasRun(rs).length > 0);
  const zeros = floats.filter(([, rs]) => having(rs, "zero").length > 0);
  const missing = floats.filter(([, rs]) => having(rs, "passed", "failed", "zero").length === 0);
  const known = new Set(floats.map(([op]) => op));
  const order2 = differentiated.filter(([, rs]) => reachesSecond(rs));
  const affine = differentiated.filter(([, rs]) => !reachesSecond(rs));
  const whole = differentiated.filter(([, rs]) => having(rs, "failed").length === 0);
  const curved = differentiated.filter(([, rs]) => having(rs, "passed").some((r) => r.derived?.curved));
  const withinOnly = inOrder(within).filter(([op]) => !known.has(op));
  const randoms = [...new Set(having(results, "no rule").flatMap((r) => (r.op ? [] : r.message.split(", "))))].filter(
    (op) => op in reasons && !known.has(op),
  );
  const total = floats.length + withinOnly.length + randoms.length;
  const second = order2.length + withinOnly.filter(([, rs]) => reachesSecond(rs)).length;
  const refused = groups.filter(([op, rs]) => !known.has(op) && having(rs, "not run by the runtime").length > 0);
  const inNoCase = own.filter(
    ({ rule }) => !rule.domain && !known.has(rule.op) && !within.has(rule.op) && rule.vjp !== "zero",
  );
  const zeroRules = own.filter(({ rule }) => rule.vjp === "zero");
  const foreign = own.filter(({ rule }) => rule.domain === "com.microsoft");
  const rewritten = Object.keys(microsoft).filter((op) => !table.has(`com.microsoft::${op}`));
  return [
    "# Operators",
    "Written by `scripts/operators_table.ts` from ONNX's own backend cases, brought to the working opset: every case with " +
      `a float input and output that ONNX Runtime ${kernelsOf} executes is differentiated, and φ = Σ c·y + ½ Σ a·y² compared ` +
      "to the second order, in float64: both modes against finite differences, forward against reverse, the Hessian-vector " +
      "product H v against differences of the gradient and in both orders of the modes. Only the reasons are typed by hand.",
    `**${total} operators have a case of floats that the runtime executes, and ${second} of them are differentiated to the second ` +
      `order** with H v above 1e-6; ${zeros.length} more have a derivative of zero, and ${missing.length + randoms.length} have none: ` +
      `their table says why. No H v above 1e-6, in any case: ${namesOf(affine)}.`,
    `${floats.length} of the operators have a model of one node. ${order2.length} of these reach the second order (${whole.length} in all ` +
      `their cases; ${curved.length} are curved: Σ c·y alone has a second derivative above 1e-6). ${withinOnly.length} are only in ` +
      `models of several nodes: ${namesOf(withinOnly)}.`,
    markdownTable(
      [
        "suite",
        "cases",
        "passed / run",
        "H v > 1e-6",
        "zero",
        "no rule",
        "not floats",
        "not executed",
        "not evaluated",
      ],
      suiteRows(results, nets),
    ),
    "## Differentiated",
    "- order 2: passed cases whose H v exceeds 1e-6 somewhere / cases run; affine: passed cases whose H v does not.\n" +
      "- curved: cases where Σ c·y alone, without the square, has such an H v.\n" +
      "- moved: cases whose own values lie on a kink, a tie or the edge of the domain, and were moved or drawn anew.\n" +
      "- in graphs: passed cases of several operators that this one is in, with a float input and output.\n" +
      "- own: samples of our own, checked in the same way.\n" +
      "- no kernel: operators of the gradient and H v that a provider has no kernel for, so that the runtime computes them on the " +
      "CPU (cpu: not at all; `curvsam check` says what is done then).",
    markdownTable(
      [
        "operator",
        "opsets",
        "VJP",
        "JVP",
        "order 2",
        "curved",
        "affine",
        "moved",
        "in graphs",
        "own",
        "no kernel",
        "note",
      ],
      differentiated.map(([op, rs]) => operatorRow(op, rs, within.get(op)?.length ?? 0, ownOf(op))),
    ),
    "## Only in models of several nodes",
    "Sequences are written out in the tensors that they are made of, where these are known.",
    markdownTable(
      ["operator", "VJP", "JVP", "cases with H v above 1e-6 / passed", "own"],
      withinOnly.map(([op, rs]) => [
        op,
        mode(op, ruleNamed(op)?.vjp),
        mode(op, ruleNamed(op)?.jvp),
        `${rs.filter((r) => r.derived?.second).length}/${rs.length}`,
        ownOf(op)?.passed ?? 0,
      ]),
    ),
    "## Forms",
    markdownTable(["form", "cases passed", "H v above 1e-6", "own samples passed"], formRows(results, own)),
    "## In no case",
    "Differentiated and checked on samples of our own: no case of ONNX has floats, or the runtime executes none.",
    markdownTable(["operator", "VJP", "JVP", "own"], inNoCase.map(ownCells)),
    "## Zero",
    markdownTable(
      ["operator", "cases", "own"],
      zeroRules.map((o) => [nameOf(o.rule), having(alone(results).get(o.rule.op) ?? [], "zero").length, o.passed]),
    ),
    "## com.microsoft",
    `Written out in standard operators once types are known: ${foreign.length}, each checked on its samples.`,
    markdownTable(["operator", "VJP", "JVP", "own"], foreign.map(ownCells)),
    `Rewritten when the model is read: ${rewritten.length} (${rewritten.join(", ")}).`,
    "## Not differentiated",
    markdownTable(
      ["operator", "cases", "why"],
      [
        ...missing,
        ...randoms.map((op): [string, Result[]] => [op, results.filter((r) => r.message.includes(op))]),
        ...groups.filter(([op]) => op in reasons && !missing.some(([m]) => m === op)),
      ].map(([op, rs]) => [op, rs.length, why(op, rs)]),
    ),
    "Cases of operators that are differentiated elsewhere, in a form that is not:",
    markdownTable(
      ["case", "operators without a rule in it"],
      having(results, "no rule")
        .filter((r) => !missing.some(([op]) => op === r.op) && !randoms.some((op) => r.message.includes(op)))
        .map((r) => [r.name, shorten(r.message)]),
    ),
    "## Not executed",
    "Operators of floats in cases that the runtime does not execute, as they are or at the working opset.",
    markdownTable(
      ["operator", "cases", "what the runtime says"],
      refused
        .filter(([op]) => !ruleNamed(op) && !(op in reasons))
        .map(([op, rs]) => [op, rs.length, shorten(having(rs, "not run by the runtime")[0]?.message ?? "")]),
    ),
    "## Whole nets",
    "ONNX's light nets at a shrunk size, with weights drawn from a seed: loss, gradient and H v by all weights and the input, in " +
      "float64, as for single cases.",
    markdownTable(
      ["net", "nodes", "weights and inputs", "elements", "VJP and JVP", "H v", "largest H v"],
      nets.map((n) => [n.name, n.nodes, n.tensors, n.elements, n.first, n.second, n.largest]),
    ),
  ]
    .map((part) => `${part.trimEnd()}\n`)
    .join("\n");
}

const namesOf = (groups: readonly [string, unknown][]): string =>
  groups.length > 0 ? groups.map(([op]) => op).join(", ") : "none";

function suiteRows(results: readonly SuiteResult[], nets: readonly NetResult[]): TableCell[][] {
  const row = (name: string, rs: readonly Result[]): TableCell[] => {
    const passed = having(rs, "passed");
    return [
      name,
      rs.length,
      `${passed.length}/${wasRun(rs).length}`,
      passed.filter((r) => r.derived?.second).length,
      ...(["zero", "no rule", "not float", "not run by the runtime", "not evaluated"] as const).map(
        (outcome) => having(rs, outcome).length,
      ),
    ];
  };
  const rows = suites.map((suite) =>
    row(
      suite,
      results.filter((r) => r.suite === suite),
    ),
  );
  const passed = nets.filter((n) => n.problem === "");
  rows.push(["light (whole nets)", nets.length, `${passed.length}/${nets.length}`, passed.length, 0, 0, 0, 0, 0]);
  return rows;
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { only: { type: "string" } } });
  const data = backendData();
  if (!data) throw new Error("the cases are not here: ../shared/data/onnx");
  const results: SuiteResult[] = [];
  for (const suite of suites)
    for (const folder of casesOf(data, suite)) {
      if (values.only && !basename(folder).includes(values.only)) continue;
      results.push({ ...(await runCase(folder, largest)), suite });
    }
  const chosen = <T>(items: readonly T[], name: (item: T) => string): T[] =>
    items.filter((item) => !values.only || name(item).includes(values.only));
  const own = values.only ? [] : [...table.values()].map(checkOwn);
  const nets = chosen(netsOf(data), basename).map(measureNet);
  for (const r of results)
    if (r.outcome === "failed" || values.only) console.log(`${r.outcome}: ${r.name} ${r.message}`.trim());
  for (const net of nets) if (net.problem || values.only) console.log(`${net.name}: ${net.problem || "passed"}`);
  for (const { failures } of own) for (const failure of failures) console.log(failure);
  const failed =
    having(results, "failed").length + nets.filter((n) => n.problem).length + own.flatMap((o) => o.failures).length;
  if (!values.only) {
    mkdirSync(join(root, "docs"), { recursive: true });
    writeFileSync(join(root, "docs", "OPERATORS.md"), report(results, own, nets));
  }
  return failed > 0 ? 1 : 0;
}

process.exitCode = await main();
