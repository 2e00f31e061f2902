import type { PatchOptions } from "../../src/pack/patch.js";

/** An optimizer whose cost is measured. */
export interface Contestant {
  name: string;
  options: Omit<PatchOptions, "loss">;
  /**
   * The share of the steps, in the optimizer's own schedule, that run these graphs; the others are plain. A package may be
   * measured under a shorter schedule, so that each kind of step comes up.
   */
  weights: Readonly<Record<string, number>>;
  /**
   * Steps of its own schedule that are timed as one run, as `curvsam train` takes them; none where refreshes come between steps, or
   * the schedule is a shorter one: those are timed step by step.
   */
  run?: number;
  /** Steps under the profile, and where each is timed: those before the ones that count, and those. */
  warmUp: number;
  steps: number;
  /** The bound of the share of the optimizer's own arithmetic, or of the ratio to SAM. */
  bound?: { of: "share" | "ratio"; most: number };
}

const tenth = { of: "share", most: 0.1 } as const;
const ratio = (most: number) => ({ of: "ratio", most }) as const;
const adamw = { base: "adamw" };
const usual = { weights: {}, run: 10, warmUp: 2, steps: 6 };

/** CurvSAM's fast preset, at a period. */
const fast = (frequency: number, most: number): Contestant => ({
  name: `CurvSAM, fast, F = ${frequency}`,
  options: { optimizer: "curvsam", preset: "fast", optimizerOptions: { frequency }, ...adamw },
  weights: { curvature_step: 1 / frequency },
  run: Math.max(10, frequency),
  warmUp: frequency === 1 ? 2 : frequency + 1,
  steps: frequency,
  bound: ratio(most),
});

export const contestants: readonly Contestant[] = [
  { name: "SAM", options: { optimizer: "sam", ...adamw }, ...usual, bound: tenth },
  { name: "SGD", options: { optimizer: "none", base: "sgd", hyper: { momentum: 0.9 } }, ...usual, bound: tenth },
  { name: "AdamW", options: { optimizer: "none", ...adamw }, ...usual, bound: tenth },
  { name: "ASAM", options: { optimizer: "asam", ...adamw }, ...usual, bound: tenth },
  { name: "GSAM", options: { optimizer: "sam", combine: "gsam", ...adamw }, ...usual, bound: tenth },
  {
    name: "LookSAM, k = 5",
    options: { optimizer: "sam", combine: "looksam", combineOptions: { period: 5 }, ...adamw },
    ...{ weights: { step: 0.2 }, run: 10, warmUp: 6, steps: 10, bound: ratio(0.65) },
  },
  {
    name: "CurvSAM, empirical",
    options: { optimizer: "curvsam", optimizerOptions: { estimator: "empirical", frequency: 5 }, ...adamw },
    ...{ weights: { curvature_step: 0.2 }, run: 10, warmUp: 6, steps: 10, bound: tenth },
  },
  {
    name: "CurvSAM, secant",
    options: { optimizer: "curvsam", optimizerOptions: { estimator: "secant" }, ...adamw },
    ...{ weights: { curvature_step: 1 }, run: 10, warmUp: 2, steps: 6, bound: tenth },
  },
  fast(1, 1.25),
  fast(5, 1.05),
  fast(10, 1.03),
  fast(20, 1.02),
  {
    name: "CurvSAM, the paper's, F = 5",
    options: { optimizer: "curvsam", ...adamw },
    ...{ weights: { curvature_step: 0.2 }, run: 10, warmUp: 6, steps: 10 },
  },
  {
    name: "AdaHessian, F = 1",
    options: { optimizer: "none", base: "adahessian" },
    ...{ weights: { preconditioner_step: 1 }, run: 10, warmUp: 2, steps: 6 },
  },
  {
    name: "SASSHA, F = 10",
    options: { optimizer: "sam", base: "sassha", baseOptions: { frequency: 5 } },
    ...{ weights: { preconditioner_step: 0.1 }, warmUp: 6, steps: 10 },
  },
  {
    name: "Shampoo over SAM",
    options: { optimizer: "sam", base: "shampoo", baseOptions: { block: 192, statistics: 4, roots: 4, start: 2 } },
    ...{ weights: { preconditioner_step: 0.01, shampoo_roots: 0.01 }, warmUp: 5, steps: 8, bound: ratio(1.25) },
  },
  {
    name: "K-FAC",
    options: { optimizer: "none", base: "kfac", baseOptions: { factors: 4, inverses: 4 } },
    ...{ weights: { preconditioner_step: 0.1, kfac_inverses: 0.01 }, warmUp: 5, steps: 8 },
  },
];
