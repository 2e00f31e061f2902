import { usualRun } from "./chunks.js";
import { curvatureKinds } from "./curvature.js";
import { checkMetric, resolveGoal, type ResolvedGoal } from "./goals.js";
import { hyperSchedule } from "./hyper.js";
import type { FitOptions } from "./options.js";

/** Lines of curvature in a run, where nothing else is said. */
const curvatureLines = 50;

/** What follows from the options before the first step. */
export interface Plan {
  total: number;
  hyperAt: (t: number) => Record<string, number>;
  /** Steps between lines of curvature. */
  curvatureEvery: number;
  /** What ranks the best checkpoints, and what early stopping goes by. */
  best: ResolvedGoal;
  watched: ResolvedGoal;
}

/** Throws a UserError for hyper-parameters and metrics that are not there. */
export function planOf(options: FitOptions, total: number): Plan {
  const { manifest } = options.runtime;
  const usual = Math.max(Math.ceil(total / curvatureLines), usualRun(options.chunk ?? "off"));
  return {
    ...{ total, hyperAt: hyperSchedule(manifest, options, total), ...goals(options) },
    curvatureEvery: curvatureKinds(manifest).length > 0 ? (options.curvatureEvery ?? usual) : Infinity,
  };
}

/** The goals of a run; a metric that the evaluation is known not to have is refused. */
function goals({ checkpoints, earlyStopping, evaluation }: FitOptions): Pick<Plan, "best" | "watched"> {
  const best = resolveGoal(checkpoints?.best);
  const watched = earlyStopping?.metric === undefined ? best : resolveGoal(earlyStopping);
  const measured = evaluation?.measure === undefined ? [] : evaluation.measure.metrics;
  if (evaluation && measured) for (const goal of [best, watched]) checkMetric(goal, ["loss", ...measured]);
  return { best, watched };
}
