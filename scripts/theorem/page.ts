import type { Panel, Series } from "../../src/report/chart.js";
import { markdownTable, type TableCell } from "../../src/report/table.js";
import { mean, standardError } from "../../src/util/statistics.js";
import { slope } from "../scale/slope.js";
import { afterwards, batchSize, examples, methods, problems, type Method, type Problem, type Run } from "./run.js";

/** The runs of a method on a problem, by seed, each in the order of T. */
function bySeed(runs: readonly Run[], problem: Problem, method: Method): Run[][] {
  const own = runs.filter((run) => run.problem === problem.name && run.method === method.name);
  const seeds = [...new Set(own.map(({ seed }) => seed))];
  return seeds.map((seed) => own.filter((run) => run.seed === seed).sort((a, b) => a.steps - b.steps));
}

/** Mean ± standard error over the seeds. */
function overSeeds(values: readonly number[], format: (x: number) => string): string {
  return `${format(mean(values))} ± ${format(standardError(values))}`;
}

const twoDecimals = (x: number): string => x.toFixed(2).replace("-", "−");
const small = (x: number): string => x.toFixed(4);
const slopeOf = (runs: readonly Run[]): number => slope(runs.map((run) => [run.steps, run.squaredNorm] as const));

/** η Σ ‖∇L‖² over the fall of the loss: 1 where steps are small and gradients exact; what is above 1 is noise and curvature. */
const descent = ({ lr, steps, squaredNorm, before, after }: Run): number =>
  (lr * steps * squaredNorm) / (before - after);

/** λ, the curvature along the gradients of batches that the fall of the loss leaves over: see `budgetTable`. */
const curvature = ({ lr, steps, squaredNorm, batchSquaredNorm = NaN, before, after }: Run): number =>
  (2 * (squaredNorm - (before - after) / (lr * steps))) / (lr * batchSquaredNorm);

/** How many of the largest T the second slope is taken over. */
const upper = 3;

function tableOf(runs: readonly Run[], problem: Problem, counts: readonly number[]): string {
  const [from, last, first] = [counts.at(-upper), counts.at(-1), counts[0]].map((x) => (x ?? 0).toLocaleString("en"));
  const norms = (method: Method): number[] =>
    bySeed(runs, problem, method).flatMap((seed) => seed.at(-1)?.squaredNorm ?? []);
  const reference = methods.find(({ optimizer }) => optimizer === "sam");
  const sam = reference ? norms(reference) : [];
  const rows = methods.map((method): TableCell[] => {
    const seeds = bySeed(runs, problem, method);
    const ofAll = (at: number, of: (run: Run) => number | null): string => {
      const values = seeds.flatMap((seed) => seed.at(at) ?? []).flatMap((run) => of(run) ?? []);
      return values.length > 0 ? twoDecimals(mean(values)) : "";
    };
    const ends = (of: (run: Run) => number | null): string =>
      [ofAll(0, of), ofAll(-1, of)].filter((text) => text !== "").join(" → ");
    const upperSlopes = seeds.map((seed) => slopeOf(seed.slice(-upper)));
    const ratios = norms(method).map((norm, i) => norm / (sam[i] ?? NaN));
    return [
      method.name,
      overSeeds(seeds.map(slopeOf), twoDecimals),
      overSeeds(upperSlopes, twoDecimals),
      overSeeds(norms(method), small),
      method === reference ? "" : overSeeds(ratios, (x) => x.toFixed(3)),
      ofAll(-1, descent),
      ends((run) => run.inverseScale),
      ends((run) => run.perturbation),
    ];
  });
  const titles = [
    ...[
      "method",
      "slope",
      `slope, T ≥ ${from}`,
      `mean ‖∇L‖² at T = ${last}`,
      "over SAM's",
      "η Σ ‖∇L‖² over the fall of L",
    ],
    ...["d̄", "‖ε‖₂"].map((what) => `${what}, T = ${first} → ${last}`),
  ];
  return markdownTable(titles, rows).trimEnd();
}

/** What SGD's mean squared gradient norm is made of, at each T: the fall of the loss and the noise of the batches. */
function budgetTable(runs: readonly Run[]): string {
  const sgd = methods.filter(({ optimizer }) => optimizer === "none");
  const rows = problems.flatMap((problem) =>
    [...sgd, afterwards].flatMap((method) => {
      const seeds = bySeed(runs, problem, method);
      return (seeds[0] ?? []).map(({ steps }, at): TableCell[] => {
        const own = seeds.flatMap((seed) => seed[at] ?? []);
        const fall = own.map(({ lr, before, after }) => (before - after) / (lr * steps));
        return [
          `${problem.name}, ${method.after === undefined ? "new" : "trained"}`,
          steps,
          mean(own.map(({ squaredNorm }) => squaredNorm)).toFixed(4),
          mean(fall).toFixed(4).replace("-", "−"),
          mean(own.map(({ squaredNorm }, i) => squaredNorm - (fall[i] ?? NaN))).toFixed(4),
          overSeeds(
            own.map(({ batchSquaredNorm = NaN }) => batchSquaredNorm),
            twoDecimals,
          ),
          overSeeds(own.map(curvature), twoDecimals),
        ];
      });
    }),
  );
  const titles = [
    "problem, weights at the start",
    "T",
    "mean ‖∇L‖²",
    "fall of L / (η T)",
    "½ η λ mean ‖g‖²",
    "mean ‖g‖²",
    "λ",
  ];
  return markdownTable(titles, rows).trimEnd();
}

/** docs/THEOREM.md. */
export function theoremPage(runs: readonly Run[], remarks: readonly string[]): string {
  const counts = [...new Set(runs.map(({ steps }) => steps))].sort((a, b) => a - b);
  const seeds = new Set(runs.map(({ seed }) => seed)).size;
  const problemText = problems.map(({ name, what, rate }) => `${name}: ${what}, η = ${rate}/√T`).join("; ");
  const trained = problems.flatMap((problem) => bySeed(runs, problem, afterwards));
  const parts = [
    "# The convergence theorem, measured",
    "<!-- Written by `node build/scripts/theorem.js`; not by hand. -->",
    "The paper's theorem: for an L-smooth loss with gradients of variance σ² and a step size η = O(1/√T), CurvSAM has " +
      "1/T Σ E‖∇L(wₜ)‖² ≤ O(d̄ σ/√T + L d̄/T), with d̄ the mean of 1/d over the elements; where curvature is heterogeneous, d̄ < 1 " +
      "and the bound is tighter than SAM's. On axes of log T the first term is a line of slope −½, the second of −1.",
    `Two problems of ${examples} synthetic examples (scripts/theorem/run.ts), cross-entropy of ten classes, batches of ${batchSize} drawn with ` +
      `replacement (${problemText}). A fifth of the labels are drawn anew, so that σ stays above 0; inputs differ in scale by ten, so that ` +
      "curvature is heterogeneous. L and its gradient are over all examples. CurvSAM is the paper's: F = 5, β = 0.9, δ = 0.01, " +
      `Gaussian probes, exact Hessian-vector products; no momentum. Each T (${counts.join(", ")}) is a run of its own, from the same weights; ` +
      `cells hold the mean over ${seeds} seeds (data, weights and batches), ± its standard error. A slope is that of the least-squares line through ` +
      "a seed's points. η Σ ‖∇L‖² would equal the fall of L from the first weights to the last if steps were small and gradients exact; their " +
      "ratio, at the largest T, is above 1 by what noise and curvature undo. d̄ and ‖ε‖₂ are means over the steps.",
    "The theorem names no radius ρ. Beside fixed ones, one shrinks as η does.",
    "![Mean squared gradient norm against the number of steps](theorem.svg)",
    ...problems.flatMap((problem) => [
      `## ${problem.name === "convex" ? "Convex" : "Non-convex"}: ${problem.what}`,
      tableOf(runs, problem, counts),
    ]),
    "## What the slopes are made of",
    "A step of SGD changes L by −η⟨∇L, g⟩ + ½η² gᵀHg, to second order, g being the gradient of the batch. Over a run that is " +
      "mean ‖∇L‖² = (fall of L) / (η T) + ½ η λ mean ‖g‖², with λ = mean gᵀHg / mean ‖g‖², the curvature along the gradients of batches. " +
      "Measured are mean ‖∇L‖², the fall and mean ‖g‖²; λ is what they leave. The first term falls as 1/√T where the whole fall is the same for every T, " +
      `the second where λ and mean ‖g‖² are. The last rows start where SGD's runs of ${afterwards.after?.toLocaleString("en") ?? ""} steps ended.`,
    budgetTable(runs),
    `Slopes from trained weights: ${overSeeds(trained.map(slopeOf), twoDecimals)} over all T.`,
    "## What it says",
    remarks.map((remark) => `- ${remark}`).join("\n"),
  ];
  return `${parts.join("\n\n")}\n`;
}

/** A panel a problem: each method's mean over the seeds, and a line of slope −½ from where SGD starts. */
export function panelsOf(runs: readonly Run[]): Panel[] {
  return problems.map((problem): Panel => {
    const series = methods.map((method): Series => {
      const seeds = bySeed(runs, problem, method);
      const points = (seeds[0] ?? []).map(
        ({ steps }, i) => [steps, mean(seeds.map((seed) => seed[i]?.squaredNorm ?? NaN))] as const,
      );
      return { name: method.name, points };
    });
    const [first, y = NaN] = series[0]?.points[0] ?? [];
    const guide = (series[0]?.points ?? []).map(([steps]) => [steps, y / Math.sqrt(steps / (first ?? NaN))] as const);
    return {
      x: { title: `T, ${problem.name}: ${problem.what}`, scale: "log" },
      y: { title: "mean squared norm of the gradient", scale: "log" },
      series: [...series, { name: "slope −½", points: guide }],
    };
  });
}
