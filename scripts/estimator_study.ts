/**
 * Holds CurvSAM's curvature estimators against the exact diagonal of the Hessian, and writes docs/ESTIMATORS.jsonl, .md and
 * docs/estimators.svg. Ten minutes on one idle core.
 *
 *     npx tsc && node build/scripts/estimator_study.js [--only NET] [--seeds 3] [--draw] [--png FILE]
 *
 * Goes on where the record stops: a network (`--only`: those with this in their names) and a seed are measured where it lacks an
 * estimator of theirs; later lines count before earlier ones. With `--draw` nothing is measured.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { drawSpec, style } from "../src/report/draw.js";
import { markdownTable, type TableCell } from "../src/report/table.js";
import { root } from "../test/support/root.js";
import { nets } from "./estimators/nets.js";
import { study, subjects, type Finding } from "./estimators/study.js";
import { appendJsonLines, readJsonLines } from "./json_lines.js";
import { mean } from "../src/util/statistics.js";

const phases = { before: "after 20 steps", near: "near interpolation" } as const;

/** The mean over the seeds, with the extremes behind it; of one seed its value. */
function cell(values: readonly number[], format: (x: number) => string): string {
  if (values.length < 2) return values.map((x) => `${format(x)}, one seed`).join("") || "not measured";
  return `${format(mean(values))} (${format(Math.min(...values))}–${format(Math.max(...values))})`;
}

const twoDecimals = (x: number): string => x.toFixed(2);
const twoDigits = (x: number): string => String(Number(x.toPrecision(2)));

function tableOf(findings: readonly Finding[], what: "correlation" | "scale", phase: Finding["phase"]): string {
  const names = [...new Set(findings.map((f) => f.net))];
  const rows = subjects.map(({ name }): TableCell[] => [
    name,
    ...names.map((net) => {
      const of = findings.filter((f) => f.net === net && f.estimator === name && f.phase === phase).map((f) => f[what]);
      return cell(of, what === "correlation" ? twoDecimals : twoDigits);
    }),
  ]);
  return markdownTable(["estimator", ...names], rows).trimEnd();
}

/** What the figures of the recorded run say; to be read again when they change. */
const remarks = [
  "What stands out:",
  [
    "- `gnb` and `gauss-newton` know the diagonal best before interpolation, equally well (within 0.01), and their scale is nearest to 1 there and near it (0.55 to 1.1).",
    "- Near interpolation `gauss-newton`, which has signs in the place of drawn labels, knows it best on three networks (0.98 to 1.00), and is 0.02 behind `hvp` with Rademacher probes on the MLP of tanh. `gnb` falls behind `hvp` on both MLPs.",
    "- `hvp` with Rademacher probes is as good as with Gaussian ones (within 0.01) or better. Its scale is 5 to 18 times that of the diagonal: |z ⊙ Hz| holds the off-diagonal elements of a row too. A quarter of the batch costs 0.01 to 0.05 of correlation.",
    "- `finite-difference` equals `hvp` on the smooth networks (tanh, encoder), and falls behind on those of ReLUs, most before interpolation; that the gradient jumps at their kinks between w and w + rz is the likely reason, not one that was tested.",
    "- `empirical` and the secants are free; the best of them is 0.02 to 0.08 behind the best of all. The scale of `empirical` fades with the gradients near interpolation, that of the secants depends on the network most: they call for the scale-free Euclidean radius and the relative floor.",
  ].join("\n"),
].join("\n\n");

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
    "The data are synthetic (scripts/estimators/nets.ts), a tenth of their labels drawn anew.",
    "![Correlation and scale of each estimator](estimators.svg)",
    remarks,
    ...parts,
  ].join("\n\n");
}

/** Dots: an estimator a row, a network a colour, a seed a dot; correlation on the left, scale on the right. */
function figure(findings: readonly Finding[]): object {
  const order = subjects.map((s) => s.name);
  const domain = nets.map((n) => n.name);
  const panel = (what: "correlation" | "scale", phase: Finding["phase"]): object => {
    const correlation = what === "correlation";
    const title = `${correlation ? "Correlation" : "Scale"}, ${phases[phase]}`;
    return {
      title: { text: title, fontSize: 14, fontWeight: "normal", frame: "group" },
      width: 360,
      height: 320,
      data: { values: findings.filter((f) => f.phase === phase) },
      mark: { type: "point", filled: true, size: 55, opacity: 0.75 },
      encoding: {
        y: {
          ...{ field: "estimator", type: "nominal", sort: order, title: null },
          axis: {
            grid: true,
            tickBand: "extent",
            labelLimit: 240,
            ...(correlation ? {} : { labels: false, ticks: false }),
          },
        },
        yOffset: { field: "net", type: "nominal", sort: domain },
        x: {
          ...{ field: what, type: "quantitative" },
          title: correlation ? "Pearson, √h against √|diag H|" : "Σh / Σ|diag H|",
          scale: correlation ? { domain: [0, 1] } : { type: "log", domain: [0.003, 5000] },
          axis: correlation ? { format: "~g" } : { format: "~g", values: [0.01, 0.1, 1, 10, 100, 1000] },
        },
        color: {
          ...{ field: "net", type: "nominal", title: null },
          scale: { domain, range: ["#0072B2", "#D55E00", "#009E73", "#CC79A7"] },
        },
        shape: {
          ...{ field: "net", type: "nominal", title: null },
          scale: { domain, range: ["circle", "square", "triangle-up", "diamond"] },
        },
      },
    };
  };
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
const record = join(docs, "ESTIMATORS.jsonl");

if (!values.draw) {
  const done = readJsonLines<Finding>(record);
  for (const net of nets.filter((n) => n.name.includes(values.only ?? ""))) {
    for (let seed = 0; seed < Number(values.seeds); seed++) {
      const has = new Set(done.filter((f) => f.net === net.name && f.seed === seed).map((f) => f.estimator));
      if (subjects.every(({ name }) => has.has(name))) continue;
      appendJsonLines(record, await study(net, seed, (line) => console.log(line)));
    }
  }
}
const latest = readJsonLines<Finding>(record).map((f) => [[f.net, f.seed, f.phase, f.estimator].join(), f] as const);
const findings = [...new Map(latest).values()];
const { svg, png } = await drawSpec(figure(findings));
writeFileSync(join(docs, "ESTIMATORS.md"), `${page(findings)}\n`);
writeFileSync(join(docs, "estimators.svg"), svg);
if (values.png !== undefined) writeFileSync(values.png, png);
