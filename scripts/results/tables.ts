/**
 * Writes the tables of docs/RESULTS.md that come from sweeps, from their results alone.
 *
 *     npm run compile && node build/scripts/results/tables.js
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatNumber, markdownTable, type TableCell } from "../../src/report/table.js";
import { check } from "../../src/util/assert.js";
import { mean, standardError } from "../../src/util/statistics.js";
import { root } from "../../test/support/root.js";
import { compare, significant, type Arm, type Comparison } from "./comparison.js";
import { frequencySection } from "./frequency.js";
import { studies } from "./studies.js";

const summaryOf = ({ scores }: Arm): string => `${mean(scores).toFixed(4)} ± ${standardError(scores).toFixed(4)}`;

const signed = (x: number): string => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(4)}`;

const headingOf = ({ study: { task, model } }: Comparison): string => `${task}: ${model}`;

/** What GitHub makes of a heading, to link to it. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, "")
    .replaceAll(" ", "-");

function section(comparison: Comparison): string {
  const { study, seeds, points, steps } = comparison;
  const rows = comparison.arms.map((arm): TableCell[] => {
    const { title, settings, results, against } = arm;
    const budget = [
      Math.round(mean(results.map(({ seconds }) => seconds))),
      mean(results.map(({ gradients }) => gradients)),
    ];
    const start = [title, settings, summaryOf(arm)];
    if (!against) return [...start, null, null, null, ...budget];
    const { difference, error, p, verdict } = against;
    return [...start, `${signed(difference)} ± ${error.toFixed(4)}`, formatNumber(p, 2), verdict, ...budget];
  });
  const metric = `${study.metricName}, ${study.less ? "less" : "more"} is better`;
  return [
    `## ${headingOf(comparison)}`,
    "",
    study.setting,
    "",
    `${steps} steps; mean ± standard error over ${seeds.length} seeds (${seeds.join(", ")}), each optimizer over ${study.base} as it did best of ${points} points on`,
    "another seed.",
    ...(study.paper === undefined ? [] : [`The paper, at another scale: ${study.paper}.`]),
    "",
    markdownTable(["optimizer", "tuned", metric, "CurvSAM − it", "p", "CurvSAM", "wall time, s", "gradients"], rows),
    study.remark,
    "",
  ].join("\n");
}

const titles: Readonly<Record<string, string>> = { none: "AdamW or SGD", sam: "SAM", asam: "ASAM" };

/** `Against SAM: 0 wins, 6 ties, 0 losses.` */
function tally(comparisons: readonly Comparison[], optimizer: string): string {
  const verdicts = comparisons.map(({ arms }) => arms.find((arm) => arm.optimizer === optimizer)?.against?.verdict);
  const count = (verdict: string): number => verdicts.filter((each) => each === verdict).length;
  return `Against ${titles[optimizer] ?? optimizer}: wins ${count("win")}, ties ${count("tie")}, losses ${count("loss")}.`;
}

/** How many wins and losses are left once every p is multiplied by the number of comparisons. */
function bonferroni(comparisons: readonly Comparison[]): string {
  const all = comparisons.flatMap(({ arms }) => arms.flatMap(({ against }) => (against ? [against.p] : [])));
  const left = all.filter((p) => p * all.length < significant).length;
  return `With every p multiplied by the number of comparisons, ${all.length} (Bonferroni), ${left} of these wins and losses remain.`;
}

function overview(comparisons: readonly Comparison[]): string {
  const rows = comparisons.map((comparison): TableCell[] => {
    const { study, seeds, arms } = comparison;
    const verdictOn = (optimizer: string): TableCell => {
      const against = arms.find((arm) => arm.optimizer === optimizer)?.against;
      if (!against) return null;
      const { verdict, difference, p } = against;
      return `${verdict === "tie" ? verdict : `**${verdict}**`} (${signed(difference)}, p ${formatNumber(p, 2)})`;
    };
    const ours = arms.find(({ against }) => against === null);
    return [
      `[${study.task}](#${anchorOf(headingOf(comparison))}), ${study.model}`,
      `${study.metricName} ${study.less ? "↓" : "↑"}`,
      seeds.length,
      ours ? summaryOf(ours) : null,
      ...Object.keys(titles).map(verdictOn),
      study.paper ?? "–",
    ];
  });
  return [
    "## In one look",
    "",
    "CurvSAM against the others, at what two CPU cores train in minutes: small networks, capped data, few steps. A difference is CurvSAM's minus",
    `the other's; it is a win or a loss where p of the paired t-test is below ${significant}, and a tie else. With five seeds the test finds`,
    "a true difference four times in five only where it is as large as 1.7 standard deviations of the differences: a tie is no proof of equality. One",
    "comparison in twenty is called a win or a loss where there is no difference. Arrows: whether more or less is better.",
    "",
    ...Object.keys(titles).map((optimizer) => `- ${tally(comparisons, optimizer)}`),
    "",
    bonferroni(comparisons),
    "Where both were tried on the tuning seed, CurvSAM's ρ = 0.01 was better than its default of 0.05 at 7 of 9 learning rates (CIFAR-10, molecules):",
    "in short training a smaller radius is worth a try, though one seed each makes no new default.",
    "",
    markdownTable(
      [
        "task",
        "metric",
        "seeds",
        "CurvSAM",
        ...Object.values(titles).map((title) => `against ${title}`),
        "the paper, at another scale",
      ],
      rows,
    ),
    "Each table below says what was tuned and what was spent. Gradient evaluations are the budget, a Hessian-vector product counted as two;",
    "the wall times (one thread) are those of a machine that other work shared and at times stopped, and tell nothing of an optimizer's cost:",
    "for that see [OPTIMIZER_COSTS.md](OPTIMIZER_COSTS.md). To run one again, see the head of its file in `scripts/results`.",
    "",
  ].join("\n");
}

const [begin, end] = ["<!-- sweeps -->", "<!-- /sweeps -->"];

/** `text` with the tables between its marks made anew. */
export function withTables(text: string): string {
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  check(before !== undefined && after !== undefined, `docs/RESULTS.md: ${begin} and ${end} expected`);
  const comparisons = studies.map(compare);
  const told = comparisons.filter(({ study }) => study.beside === undefined);
  const sections = [overview(told), ...comparisons.map(section), frequencySection()];
  return `${before}${begin}\n\n${sections.join("\n")}\n${end}${after}`;
}

export const resultsFile = join(root, "docs", "RESULTS.md");

if (process.argv[1] === import.meta.filename) {
  writeFileSync(resultsFile, withTables(readFileSync(resultsFile, "utf8")));
}
