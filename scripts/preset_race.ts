/**
 * Races CurvSAM's estimators for the fast preset, and writes docs/PRESETS.json and docs/PRESETS.md.
 *
 *     npx tsc && node build/scripts/preset_race.js [--only NET] [--draw]
 *
 * With `--only` (part of a network's name) the others keep their results; with `--draw` all do. Times are those of
 * docs/OPTIMIZER_COSTS.json.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { estimatorCost, type EstimatorName } from "../src/curvature/estimator.js";
import { presets } from "../src/optim/presets.js";
import { markdownTable, type TableCell } from "../src/report/table.js";
import { must } from "../src/util/assert.js";
import { root } from "../test/support/root.js";
import type { Costs } from "./bench/optimizer_report.js";
import { nets } from "./estimators/nets.js";
import { race, runners, type Placing } from "./estimators/race.js";
import { mean } from "../src/util/statistics.js";

const { values } = parseArgs({ options: { only: { type: "string" }, draw: { type: "boolean", default: false } } });
const docs = join(root, "docs");
const record = join(docs, "PRESETS.json");
const seeds = [0, 1, 2];

const read = <T>(file: string, otherwise: T): T =>
  existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as T) : otherwise;

function page(placings: readonly Placing[], { costs }: Costs): string {
  const names = nets.map((net) => net.name).filter((name) => placings.some((p) => p.net === name));
  const of = (net: string, estimator: string): number[] =>
    placings.filter((p) => p.net === net && p.estimator === estimator).map((p) => p.correlation);
  const exact = must(runners[0], "the exact product").name;
  const rows = runners.map(({ name, options }): TableCell[] => {
    const { estimator, share = 1 } = options as { estimator: EstimatorName; share?: number };
    const cost = estimatorCost(estimator, { probe: "rademacher", probes: 1, share });
    const never = names.every((net) => mean(of(net, name)) >= mean(of(net, exact)));
    const cells = names.map((net) => {
      const found = of(net, name);
      return `${mean(found).toFixed(2)} (${Math.min(...found).toFixed(2)}–${Math.max(...found).toFixed(2)})`;
    });
    return [name, cost.toFixed(2), ...cells, never ? "yes" : "no"];
  });
  const times = costs.filter(({ name }) => name.startsWith("CurvSAM, fast"));
  const timed = times.map(({ name, ratio }): TableCell[] => [name, ratio.toFixed(3)]);
  const settings = { ...presets.fast.options, ...presets.fast.hyper };
  return [
    "# Presets of CurvSAM",
    "<!-- Written by `node build/scripts/preset_race.js`; not by hand. -->",
    "Without a preset, or with `--preset paper`, CurvSAM is Algorithm 1 of its paper: the exact Hessian-vector product with a Gaussian " +
      "probe on the whole batch. `--preset fast` is the estimator that this race chose:",
    "```\n" +
      Object.entries(settings)
        .map(([name, value]) => `${name} = ${String(value)}`)
        .join("\n") +
      "\n```",
    "## Quality",
    "Four networks of about 5,000 parameters (scripts/estimators/nets.ts), three seeds. Along 250 steps of SAM over AdamW every estimator " +
      "refreshes its h at every fifth step, on the batch of 32 and at the weights of the step (β = 0.9, from zero), and the exact " +
      "|diag H| of that batch goes into the same moving average. Cells: Pearson's correlation of √h with the root of that average " +
      "after 50 refreshes, over 512 parameters drawn at random; the mean of the seeds, the lowest and the highest. Cost: gradient " +
      "evaluations of a refresh. The last column: whether the mean is nowhere lower than that of the exact product with Gaussian probes.",
    markdownTable(["estimator", "cost", ...names, "≥ exact Gaussian"], rows).trimEnd(),
    "A refresh may cost half a gradient, a quarter of a SAM step, for the bounds below to be met: exact products on the whole batch " +
      "do not, and on parts of it |z ⊙ Hz| holds more of the off-diagonal elements. `gauss-newton` is Jᵀ S^½ ξ squared, S the loss's second " +
      "derivative by the logits and ξ signs: drawn labels (`gnb`) have the same mean, but where the model is sure it comes from a few rare ones.",
    ...(timed.length > 0
      ? [
          "## Time",
          "Steps of the fast preset over steps of SAM, probes included, on the 6-layer encoder (see [what optimizers cost](OPTIMIZER_COSTS.md)).",
          markdownTable(["", "/ SAM"], timed).trimEnd(),
        ]
      : []),
    "",
  ].join("\n\n");
}

let placings = read<Placing[]>(record, []);
if (!values.draw) {
  for (const net of nets.filter(({ name }) => name.includes(values.only ?? ""))) {
    for (const seed of seeds) {
      const found = await race(net, seed);
      console.log(`${net.name}, seed ${seed}: ${found.map((f) => f.correlation.toFixed(3)).join(" ")}`);
      // Read anew: another network's race may have written meanwhile.
      placings = [...read<Placing[]>(record, []).filter((p) => p.net !== net.name || p.seed !== seed), ...found];
      writeFileSync(record, `[\n${placings.map((p) => JSON.stringify(p)).join(",\n")}\n]\n`);
    }
  }
}
writeFileSync(
  join(docs, "PRESETS.md"),
  page(placings, read(join(docs, "OPTIMIZER_COSTS.json"), { machine: "", costs: [] })),
);
