/**
 * Writes the tables of docs/RESULTS.md that come from sweeps, from their results alone.
 *
 *     npm run compile && node build/scripts/results/tables.js
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatNumber, markdownTable, type TableCell } from "../../src/report/table.js";
import { check, must } from "../../src/util/assert.js";
import { root } from "../../test/support/root.js";
import { mean, standardError } from "../../src/util/statistics.js";
import { pairedTest } from "./paired.js";
import { arms, studies, type Study } from "./studies.js";

/** What these tables take of a line of a sweep's results. */
interface Result {
  parameters: Record<string, string | number | boolean | null>;
  seed: number;
  metrics: Record<string, number | null>;
  seconds: number;
  gradients: number;
  steps: number;
  threads: number;
  error: string | null;
}

const significant = 0.05;

function readResults(name: string): Result[] {
  const file = join(root, "docs", "results", `${name}.jsonl`);
  check(existsSync(file), `${file}: absent; run curvsam sweep scripts/results/${name}.yaml`);
  const lines = readFileSync(file, "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as Result).filter(({ error }) => error === null);
}

const scoreOf = ({ metric }: Study, { metrics, seed }: Result): number =>
  must(metrics[metric], `${metric} of seed ${seed}`);

/** What the sweep varies besides the optimizer, as text. */
const settingsOf = ({ parameters }: Result): string =>
  Object.entries(parameters)
    .filter(([name, value]) => name !== "optimizer" && value !== null)
    .map(([name, value]) => `${name === "learning_rate" ? "lr" : name} ${String(value)}`)
    .join(", ");

/** The settings with which each optimizer did best on the tuning seed; of equals the first. */
function tuned(study: Study): Map<string, string> {
  const best = new Map<string, { score: number; settings: string }>();
  for (const result of readResults(`${study.name}.tune`)) {
    const optimizer = String(result.parameters["optimizer"]);
    const score = scoreOf(study, result);
    const known = best.get(optimizer);
    if (!known || score > known.score) best.set(optimizer, { score, settings: settingsOf(result) });
  }
  return new Map([...best].map(([optimizer, { settings }]) => [optimizer, settings]));
}

function section(study: Study): string {
  const results = readResults(study.name);
  const settings = tuned(study);
  const seeds = [...new Set(results.map(({ seed }) => seed))].sort((a, b) => a - b);
  const rowsOf = (optimizer: string): Result[] => {
    const own = results.filter(({ parameters }) => parameters["optimizer"] === optimizer);
    for (const result of own) {
      check(
        settingsOf(result) === settings.get(optimizer),
        `${study.name}: ${optimizer} ran with ${settingsOf(result)}, not as tuned`,
      );
    }
    return seeds.map((seed) =>
      must(
        own.find((result) => result.seed === seed),
        `${study.name}: seed ${seed} of ${optimizer}`,
      ),
    );
  };
  const last = must(arms.at(-1), "an optimizer");
  const ours = rowsOf(last.optimizer).map((result) => scoreOf(study, result));
  const rows = arms.map(({ optimizer, title }): TableCell[] => {
    const own = rowsOf(optimizer);
    const scores = own.map((result) => scoreOf(study, result));
    const summary = `${mean(scores).toFixed(4)} ± ${standardError(scores).toFixed(4)}`;
    const spent = [Math.round(mean(own.map(({ seconds }) => seconds))), mean(own.map(({ gradients }) => gradients))];
    const start = [title, settings.get(optimizer) ?? "", summary];
    if (optimizer === last.optimizer) return [...start, null, null, null, ...spent];
    const { difference, error, p } = pairedTest(ours, scores);
    const verdict = p >= significant ? "tie" : difference > 0 ? "win" : "loss";
    const gap = `${difference < 0 ? "−" : "+"}${Math.abs(difference).toFixed(4)} ± ${error.toFixed(4)}`;
    return [...start, gap, formatNumber(p, 2), verdict, ...spent];
  });
  const { steps, threads } = must(results[0], "a result");
  return [
    `## ${study.title}`,
    "",
    study.setting,
    `${steps} steps; mean ± standard error over ${seeds.length} seeds (${seeds.join(", ")}), each optimizer as it did best of four points on`,
    `another seed. p is that of the paired t-test; below ${significant} it counts as a win or a loss. Wall time of training with ${threads} thread${threads === 1 ? "" : "s"},`,
    "on a machine that did other work as well; gradient evaluations count a Hessian-vector product as two.",
    "",
    markdownTable(
      [
        "optimizer, over AdamW",
        "tuned",
        study.metricName,
        `${last.title} − it`,
        "p",
        last.title,
        "wall time, s",
        "gradients",
      ],
      rows,
    ),
  ].join("\n");
}

const [begin, end] = ["<!-- sweeps -->", "<!-- /sweeps -->"];

/** `text` with the tables between its marks made anew. */
export function withTables(text: string): string {
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  check(before !== undefined && after !== undefined, `docs/RESULTS.md: ${begin} and ${end} expected`);
  return `${before}${begin}\n\n${studies.map(section).join("\n")}\n${end}${after}`;
}

export const resultsFile = join(root, "docs", "RESULTS.md");

if (process.argv[1] === import.meta.filename) {
  writeFileSync(resultsFile, withTables(readFileSync(resultsFile, "utf8")));
}
