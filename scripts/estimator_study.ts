/**
 * Holds CurvSAM's curvature estimators against the exact diagonal of the Hessian, and writes docs/ESTIMATORS.json, .md and
 * docs/estimators.svg. Ten minutes on one idle core.
 *
 *     npx tsc && node build/scripts/estimator_study.js [--only NET] [--seeds 3] [--draw] [--png FILE]
 *
 * With `--only` (part of a network's name) it says what it found and writes nothing; with `--draw` it measures nothing and
 * writes page and picture from the JSON that is there.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { drawSpec, style } from "../src/report/draw.js";
import { markdownTable, type TableCell } from "../src/report/table.js";
import { root } from "../test/support/root.js";
import { nets } from "./estimators/nets.js";
import { study, subjects, type Finding } from "./estimators/study.js";

const phases = { before: "after 20 steps", near: "near interpolation" } as const;
const mean = (x: readonly number[]): number => x.reduce((s, v) => s + v, 0) / x.length;

/** The mean over the seeds, with the extremes behind it. */
function cell(values: readonly number[], digits: number): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${mean(values).toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
}

function tableOf(findings: readonly Finding[], what: "correlation" | "scale", phase: Finding["phase"]): string {
  const names = [...new Set(findings.map((f) => f.net))];
  const rows = subjects.map(({ name }): TableCell[] => [
    name,
    ...names.map((net) => {
      const of = findings.filter((f) => f.net === net && f.estimator === name && f.phase === phase).map((f) => f[what]);
      return what === "correlation" ? cell(of, 2) : cell(of, 1);
    }),
  ]);
  return markdownTable(["estimator", ...names], rows);
}

function page(findings: readonly Finding[]): string {
  const losses = (phase: Finding["phase"]): string => {
    const all = findings.filter((f) => f.phase === phase).map((f) => f.loss);
    return `${Math.min(...all).toFixed(3)} to ${Math.max(...all).toFixed(3)}`;
  };
  const parts = Object.entries(phases).flatMap(([key, title]) => {
    const phase = key as Finding["phase"];
    return [
      `## ${title[0]?.toUpperCase() ?? ""}${title.slice(1)} (mean loss ${losses(phase)})`,
      "Correlation of √h with √|diag H|:",
      tableOf(findings, "correlation", phase),
      "Scale, Σh / Σ|diag H|:",
      tableOf(findings, "scale", phase),
    ];
  });
  const sizes = [...new Map(findings.map((f) => [f.net, f.parameters]))].map(([net, n]) => `${net} ${n}`);
  return [
    "# Curvature estimators against the exact Hessian",
    "<!-- Written by `node build/scripts/estimator_study.js`; not by hand. -->",
    `How well does each of CurvSAM's estimators know the diagonal of the Hessian? On four small networks (parameters: ${sizes.join(", ")}), for ` +
      `${new Set(findings.map((f) => f.seed)).size} seeds, weights are held after 20 steps of AdamW, and again when the mean loss over the ` +
      "128 examples has fallen below 0.02 (or stopped to fall). There the exact diagonal is computed column by column, from " +
      "Hessian-vector products with unit vectors over all examples, by the package's own `hvp.onnx`; and each estimate is the " +
      "mean of 50, each on a batch of 32. Cells hold the mean over the seeds, and the lowest and highest in brackets. " +
      "The correlation is Pearson's, over all parameters of a network, of the square roots, since CurvSAM divides by √h.",
    "![Correlation and scale of each estimator](estimators.svg)",
    ...parts,
  ].join("\n\n");
}

/** Dots: an estimator a row, a network a colour, a seed a dot; correlation on the left, scale on the right. */
function figure(findings: readonly Finding[]): object {
  const order = subjects.map((s) => s.name);
  const panel = (what: "correlation" | "scale", phase: Finding["phase"]): object => ({
    title: {
      text: `${what === "correlation" ? "Correlation" : "Scale"}, ${phases[phase]}`,
      fontSize: 14,
      fontWeight: "normal",
    },
    width: 330,
    height: { step: 34 },
    data: { values: findings.filter((f) => f.phase === phase) },
    mark: { type: "point", filled: true, size: 60, opacity: 0.75 },
    encoding: {
      y: { field: "estimator", type: "nominal", sort: order, title: null, axis: { grid: true, labelLimit: 240 } },
      yOffset: { field: "net", type: "nominal", sort: nets.map((n) => n.name) },
      x: {
        field: what,
        type: "quantitative",
        title: what === "correlation" ? "Pearson, √h against √|diag H|" : "Σh / Σ|diag H|",
        scale: what === "correlation" ? { domain: [0, 1] } : { type: "log" },
        axis: { tickCount: 6, format: "~g" },
      },
      color: {
        field: "net",
        type: "nominal",
        title: null,
        sort: nets.map((n) => n.name),
        scale: { range: ["#0072B2", "#D55E00", "#009E73", "#CC79A7"] },
      },
      shape: { field: "net", type: "nominal", title: null, sort: nets.map((n) => n.name) },
    },
  });
  const row = (phase: Finding["phase"]): object => ({ hconcat: [panel("correlation", phase), panel("scale", phase)] });
  return { ...style, title: "Curvature estimators against the exact Hessian", vconcat: [row("before"), row("near")] };
}

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    seeds: { type: "string", default: "3" },
    draw: { type: "boolean", default: false },
    png: { type: "string" },
  },
});
const docs = join(root, "docs");
const record = join(docs, "ESTIMATORS.json");

async function measure(): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const net of nets.filter((n) => n.name.includes(values.only ?? ""))) {
    for (let seed = 0; seed < Number(values.seeds); seed++) {
      findings.push(...(await study(net, seed, (line) => console.log(line))));
    }
  }
  return findings;
}

const findings = values.draw ? (JSON.parse(readFileSync(record, "utf8")) as Finding[]) : await measure();
if (values.only === undefined) {
  const { svg, png } = await drawSpec(figure(findings));
  writeFileSync(record, `[\n${findings.map((f) => JSON.stringify(f)).join(",\n")}\n]\n`);
  writeFileSync(join(docs, "ESTIMATORS.md"), `${page(findings)}\n`);
  writeFileSync(join(docs, "estimators.svg"), svg);
  if (values.png !== undefined) writeFileSync(values.png, png);
} else console.table(findings);
