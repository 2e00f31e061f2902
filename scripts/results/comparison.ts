import { check, must } from "../../src/util/assert.js";
import { pairedTest, type Paired } from "./paired.js";
import { metricOf, optimizerOf, readResults, settingsOf, tuned, type Result } from "./runs.js";
import { arms, type Study } from "./studies.js";

/** p below this counts as a win or a loss. */
export const significant = 0.05;

export interface Arm {
  optimizer: string;
  title: string;
  settings: string;
  /** One of each seed, in the order of the seeds. */
  results: Result[];
  scores: number[];
  /** CurvSAM against it; null of CurvSAM itself. */
  against: (Paired & { verdict: "win" | "tie" | "loss" }) | null;
}

/** A study's runs of the seeds that every optimizer has, compared. */
export interface Comparison {
  study: Study;
  seeds: number[];
  /** How many settings each optimizer was tuned over. */
  points: number;
  steps: number;
  arms: Arm[];
}

export function compare(study: Study): Comparison {
  const { beside } = study;
  const all = [...(beside === undefined ? [] : readResults(beside)), ...readResults(study.name)];
  const { settings: own, points } = tuned(study);
  const settings = new Map([...(beside === undefined ? [] : tuned({ ...study, name: beside }).settings), ...own]);
  const present = arms.filter(({ optimizer }) => settings.has(optimizer));
  const runOf = (optimizer: string, seed: number): Result | undefined =>
    all.find((result) => optimizerOf(result) === optimizer && result.seed === seed);
  const seeds = [...new Set(all.map(({ seed }) => seed))]
    .filter((seed) => present.every(({ optimizer }) => runOf(optimizer, seed)))
    .sort((a, b) => a - b);
  check(seeds.length > 1, `${study.name}: ${seeds.length} seeds of every optimizer; two or more expected`);
  const rowsOf = (optimizer: string): Result[] =>
    seeds.map((seed) => must(runOf(optimizer, seed), `${optimizer} ${seed}`));
  for (const result of all) {
    const expected = settings.get(optimizerOf(result));
    check(settingsOf(result) === expected, `${study.name}: ${settingsOf(result)}, tuned was ${expected ?? "nothing"}`);
  }
  const scoresOf = (results: readonly Result[]): number[] => results.map((result) => metricOf(study.metric, result));
  const last = must(present.at(-1), "an optimizer").optimizer;
  const ours = scoresOf(rowsOf(last));
  return {
    ...{ study, seeds, points },
    steps: must(all[0], "a run").steps,
    arms: present.map(({ optimizer, title }) => {
      const results = rowsOf(optimizer);
      const scores = scoresOf(results);
      return {
        ...{ optimizer, results, scores, title: title ?? study.base, settings: settings.get(optimizer) ?? "" },
        against: optimizer === last ? null : judged(pairedTest(ours, scores), study),
      };
    }),
  };
}

function judged(test: Paired, { less }: Study): Arm["against"] {
  if (test.p >= significant) return { ...test, verdict: "tie" };
  return { ...test, verdict: test.difference > 0 === !less ? "win" : "loss" };
}
