/**
 * Holds CurvSAM against the paper's convergence theorem on a convex and a non-convex problem, and writes docs/THEOREM.jsonl, .md and
 * docs/theorem.svg. Two minutes of one core.
 *
 *     npx tsc && node build/scripts/theorem.js [--seeds 5] [--only METHOD] [--draw] [--png FILE]
 *
 * With `--only`, part of a method's name, the other methods keep their runs; with `--draw` nothing is measured.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { check } from "../src/util/assert.js";
import { drawFigure } from "../src/report/chart.js";
import { root } from "../test/support/root.js";
import { readJsonLines } from "./json_lines.js";
import { runScript } from "./script.js";
import { panelsOf, theoremPage } from "./theorem/page.js";
import { remarks } from "./theorem/remarks.js";
import { afterwards, methods, problems, runsOf, type Run } from "./theorem/run.js";

const counts = [64, 256, 1024, 4096, 16384];

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "5" },
    only: { type: "string" },
    draw: { type: "boolean", default: false },
    png: { type: "string" },
  },
});
async function main(): Promise<void> {
  const docs = join(root, "docs");
  const record = join(docs, "THEOREM.jsonl");

  if (!values.draw) {
    const chosen = [...methods, afterwards].filter(
      ({ name }) => values.only === undefined || name.includes(values.only),
    );
    check(
      chosen.length > 0,
      `--only "${values.only ?? ""}" names none of: ${methods.map(({ name }) => name).join("; ")}`,
    );
    const measured = (values.only === undefined ? [] : readJsonLines<Run>(record)).filter(
      ({ method }) => !chosen.some(({ name }) => name === method),
    );
    for (let seed = 0; seed < Number(values.seeds); seed++) {
      for (const problem of problems) {
        for (const method of chosen.filter(({ only }) => only === undefined || only === problem.name)) {
          const runs = await runsOf(problem, method, seed, counts);
          const norms = runs.map(({ squaredNorm }) => squaredNorm.toExponential(2)).join(" ");
          console.log(`seed ${seed}, ${problem.name}, ${method.name}: ${norms}`);
          measured.push(...runs);
        }
      }
    }
    writeFileSync(record, measured.map((run) => `${JSON.stringify(run)}\n`).join(""));
  }
  const runs = readJsonLines<Run>(record);
  const { svg, png } = await drawFigure({
    title: "Mean squared gradient norm against the number of steps T",
    subtitle: "η = η₀/√T; means over the seeds",
    panels: panelsOf(runs),
  });
  writeFileSync(join(docs, "THEOREM.md"), theoremPage(runs, remarks));
  writeFileSync(join(docs, "theorem.svg"), svg);
  if (values.png !== undefined) writeFileSync(values.png, png);
}

await runScript(main);
