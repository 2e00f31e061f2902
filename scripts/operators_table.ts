/**
 * Differentiates ONNX's own backend cases to the second order, and writes docs/OPERATORS.md.
 *
 *     npx tsc && node build/scripts/operators_table.js
 *
 * Reads the archive in ../shared/data/onnx. `--only TEXT` runs the cases whose names contain TEXT, says what failed, and
 * writes nothing.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { rules } from "../src/ops/index.js";
import type { OpRule } from "../src/ops/rule.js";
import { markdownTable, type TableCell } from "../src/report/table.js";
import { backendData, casesOf } from "../test/support/backend.js";
import { runCase, type Result } from "../test/support/conformance.js";
import { root } from "../test/support/root.js";

const suites = ["node", "pytorch-operator", "pytorch-converted"] as const;
const table = rules as unknown as Readonly<Record<string, OpRule | undefined>>;

const shorten = (message: string): string => {
  const line = message.replace(/[|\n]/g, " ");
  return line.length > 140 ? `${line.slice(0, 137)}…` : line;
};

const count = (results: readonly Result[], ...outcomes: Result["outcome"][]): number =>
  results.filter((r) => outcomes.includes(r.outcome)).length;

function grouped(results: readonly Result[]): Map<string, Result[]> {
  const groups = new Map<string, Result[]>();
  for (const r of results) if (r.op) groups.set(r.op, [...(groups.get(r.op) ?? []), r]);
  return new Map([...groups].sort(([a], [b]) => (a < b ? -1 : 1)));
}

const mode = (rule: OpRule["vjp"] | OpRule["jvp"]): string => (typeof rule === "string" ? rule : "yes");

function operatorRow(op: string, results: readonly Result[]): TableCell[] {
  const rule = table[op];
  const run = results.filter((r) => r.outcome === "passed" || r.outcome === "failed");
  const passed = run.filter((r) => r.outcome === "passed");
  const opsets = run.map((r) => r.opset);
  const failure = run.find((r) => r.outcome === "failed");
  const aside = results.find((r) => r.outcome === "not evaluated");
  return [
    op,
    run.length > 0 ? [...new Set([Math.min(...opsets), Math.max(...opsets)])].join("–") : "",
    rule ? mode(rule.vjp) : "by conversion",
    rule ? mode(rule.jvp) : "by conversion",
    `${passed.length}/${run.length}`,
    passed.filter((r) => r.curved).length,
    passed.filter((r) => !r.curved).length,
    passed.filter((r) => r.moved).length,
    failure ? `${failure.name}: ${shorten(failure.message)}` : aside ? `not run: ${shorten(aside.message)}` : "",
  ];
}

function report(results: readonly SuiteResult[]): string {
  const node = results.filter((r) => r.suite === "node");
  const groups = [...grouped(node)];
  const differentiated = groups.filter(([, rs]) => count(rs, "passed", "failed") > 0);
  const whole = differentiated.filter(([, rs]) => count(rs, "failed") === 0);
  const curved = whole.filter(([, rs]) => rs.some((r) => r.outcome === "passed" && r.curved));
  const floats = groups.filter(([, rs]) =>
    rs.some((r) => !["not float", "not run by the runtime"].includes(r.outcome)),
  );
  const zeros = groups.filter(([, rs]) => count(rs, "zero") > 0);
  const missing = floats.filter(([, rs]) => count(rs, "passed", "failed", "zero") === 0);
  const several = suites.map((suite): TableCell[] => {
    const rs = results.filter((r) => r.suite === suite && (suite !== "node" || r.op === null));
    return [
      suite === "node" ? "node, of several operators" : suite,
      rs.length,
      `${count(rs, "passed")}/${count(rs, "passed", "failed")}`,
      count(rs, "no rule"),
      count(rs, "not run by the runtime", "not float", "not evaluated", "zero"),
    ];
  });
  return [
    "# Operators",
    "Written by `scripts/operators_table.ts` from ONNX's own backend cases: every case with a float input and output that " +
      "the pinned ONNX Runtime executes is differentiated, and φ = Σ c·y + ½ Σ a·y² compared to the second order, in " +
      "float64: both modes against finite differences, forward against reverse, the Hessian-vector product against " +
      "differences of the gradient and in both orders of the modes. Nothing here is typed by hand.",
    `${floats.length} operators have such a case. ${differentiated.length} are differentiated, ${whole.length} of them in ` +
      `all their cases (${curved.length} curved: Σ c·y itself has a second derivative above 1e-6), ${zeros.length} have a ` +
      `derivative of zero, ${missing.length} are not differentiated: the last table but one says why.`,
    "## Differentiated",
    "`moved` counts cases whose own values lie on a kink, a tie or the edge of the domain, and were moved a little.",
    markdownTable(
      ["operator", "opsets", "VJP", "JVP", "passed", "curved", "affine", "moved", "note"],
      differentiated.map(([op, rs]) => operatorRow(op, rs)),
    ),
    "## Zero",
    zeros.map(([op]) => op).join(", "),
    "## Not differentiated",
    markdownTable(
      ["operator", "cases", "why"],
      missing.map(([op, rs]) => [op, rs.length, shorten(rs.find((r) => r.message !== "")?.message ?? "")]),
    ),
    "## Graphs",
    markdownTable(
      ["suite", "cases", "passed", "with an operator without a rule", "without a float derivative"],
      several,
    ),
  ]
    .map((part) => `${part.trimEnd()}\n`)
    .join("\n");
}

interface SuiteResult extends Result {
  suite: (typeof suites)[number];
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { only: { type: "string" } } });
  const data = backendData();
  if (!data) throw new Error("the cases are not here: ../shared/data/onnx");
  const results: SuiteResult[] = [];
  for (const suite of suites)
    for (const folder of casesOf(data, suite)) {
      if (values.only && !basename(folder).includes(values.only)) continue;
      results.push({ ...(await runCase(folder)), suite });
    }
  for (const r of results)
    if (r.outcome === "failed" || values.only) console.log(`${r.outcome}: ${r.name} ${r.message}`.trim());
  if (values.only) return;
  mkdirSync(join(root, "docs"), { recursive: true });
  writeFileSync(join(root, "docs", "OPERATORS.md"), report(results));
}

await main();
