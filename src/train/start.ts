import type { BatchSource } from "../data/batch.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import { readCheckpoint, type TrainerState } from "./checkpoints.js";
import { goalName } from "./goals.js";
import type { Callbacks, FitOptions } from "./options.js";
import type { Plan } from "./plan.js";

/** Where a run starts. */
export async function newState(runtime: PackageRuntime, train: BatchSource): Promise<TrainerState> {
  return {
    ...(await runtime.counters()),
    epoch: 0,
    seed: runtime.seed,
    threads: runtime.threads,
    source: train.state(),
    running: { loss: 0, steps: 0 },
    evaluatedAt: -1,
    evaluationDue: false,
    ranking: [],
    rankedBy: "",
    patience: { by: "", best: null, stale: 0 },
    lossScale: null,
    seconds: 0,
    logBytes: 0,
  };
}

/** Where the checkpoint at `path` stood: the runtime and the data go back there. */
export async function resumedState(options: FitOptions, from: string): Promise<{ state: TrainerState; path: string }> {
  const { runtime, train } = options;
  const { state, statePath, path, damaged } = await readCheckpoint(from);
  for (const problem of damaged) note(options, `${problem}; going on from ${path}`);
  await runtime.loadState(statePath);
  train.restore(state.source);
  const { threads } = runtime;
  if (threads !== state.threads) {
    note(
      options,
      `the checkpoint was made with ${state.threads} threads, this run has ${threads}: its numbers will differ in the last bits`,
    );
  }
  return { state: { ...state, threads }, path };
}

export const callbacksOf = ({ callbacks = [] }: FitOptions): readonly Callbacks[] =>
  Array.isArray(callbacks) ? (callbacks as readonly Callbacks[]) : [callbacks as Callbacks];

export function note(options: FitOptions, line: string): void {
  for (const each of callbacksOf(options)) each.onNote?.(line);
}

/** Puts the run's goals into its state; what a checkpoint remembers of others is of no use any more. */
export function forgetOtherGoals(
  state: TrainerState,
  { best, watched }: Pick<Plan, "best" | "watched">,
  options: FitOptions,
): void {
  const by = goalName(best);
  if (state.ranking.length > 0 && state.rankedBy !== by) {
    note(options, `the checkpoint ranked evaluations by the ${state.rankedBy}; from here on the ${by} counts alone`);
    state.ranking = [];
  }
  state.rankedBy = by;
  if (state.patience.by !== goalName(watched)) state.patience = { by: goalName(watched), best: null, stale: 0 };
}
