import { InvalidArgumentError, Option, type Command } from "commander";
import type { CheckpointOptions, FitOptions } from "../train/options.js";
import type { EarlyStopping, Goal } from "../train/goals.js";
import type { HyperOptions } from "../train/hyper.js";
import { schedule, scheduleNames, type ScheduleName } from "../train/schedules.js";
import { UsageError } from "./failure.js";
import { assignments, integer, number } from "./parse.js";

/** Hyper-parameters over time. `schedule` and `warmup` are older names of the learning rate's. */
export interface HyperFlags {
  lr?: number;
  lrSchedule: ScheduleName;
  lrWarmup: number;
  lrEnd: number;
  lrPower: number;
  schedule?: ScheduleName;
  warmup?: number;
  rho?: number;
  rhoSchedule?: ScheduleName;
  rhoWarmup?: number;
  rhoEnd?: number;
  rhoPower?: number;
  hyper?: Record<string, number>;
  lossScale?: number | "dynamic";
  lossScaleGrowth?: number;
}

const names = [...scheduleNames];
const warmup = "steps, or a fraction of all steps, over which it rises from near 0";
const end = "the part of it that is left at the end";
const power = "polynomial: the exponent; 1 is linear";

/** The options that set hyper-parameters and let them change over time. */
export const addHyperOptions = (command: Command): Command =>
  command
    .option("--lr <x>", "learning rate (default: the package's)", number({ min: 0 }))
    .addOption(new Option("--lr-schedule <name>", "how the learning rate falls").choices(names).default("linear"))
    .option("--lr-warmup <x>", warmup, number({ min: 0 }), 0.06)
    .option("--lr-end <x>", end, number({ min: 0 }), 0)
    .option("--lr-power <x>", power, number({ min: 0, above: true }), 1)
    .addOption(new Option("--schedule <name>").choices(names).hideHelp())
    .addOption(new Option("--warmup <x>").argParser(number({ min: 0 })).hideHelp())
    .option("--rho <x>", "radius of the perturbation (default: the package's)", number({ min: 0 }))
    .addOption(new Option("--rho-schedule <name>", "how the radius falls (default: constant)").choices(names))
    .option("--rho-warmup <x>", `${warmup} (default: 0)`, number({ min: 0 }))
    .option("--rho-end <x>", `${end} (default: 0)`, number({ min: 0 }))
    .option("--rho-power <x>", `${power} (default: 1)`, number({ min: 0, above: true }))
    .option("--hyper <name=x>", "any other hyper-parameter of the package", assignments)
    .option(
      "--loss-scale <x>",
      "factor of the loss where it is differentiated; dynamic: from the package's on, halved at overflows (default in mixed precision)",
      scaleOf,
    )
    .option(
      "--loss-scale-growth <n>",
      "dynamic: doubled after so many steps without an overflow (default: 2000)",
      integer({ min: 1 }),
    );

/** A fixed factor, or the word for one that follows the gradients. */
function scaleOf(text: string): number | "dynamic" {
  if (text === "dynamic") return text;
  try {
    return number({ min: 0, above: true })(text);
  } catch {
    throw new InvalidArgumentError("expected dynamic or a number > 0");
  }
}

/** What these options say to `fit`. */
export function hyperOptions(flags: HyperFlags): HyperOptions & Pick<FitOptions, "lossScale"> {
  const { lossScale, lossScaleGrowth, rhoSchedule, rhoWarmup, rhoEnd, rhoPower } = flags;
  const movesRho = [rhoSchedule, rhoWarmup, rhoEnd, rhoPower].some((flag) => flag !== undefined);
  if (lossScaleGrowth !== undefined && lossScale !== "dynamic")
    throw new UsageError("--loss-scale-growth belongs to --loss-scale dynamic, which is missing");
  return {
    ...(lossScale === "dynamic" && { lossScale: { growthInterval: lossScaleGrowth } }),
    hyper: {
      ...flags.hyper,
      ...(typeof lossScale === "number" && { loss_scale: lossScale }),
      ...(flags.lr !== undefined && { lr: flags.lr }),
      ...(flags.rho !== undefined && { rho: flags.rho }),
    },
    schedules: {
      lr: schedule(flags.schedule ?? flags.lrSchedule, {
        warmup: flags.warmup ?? flags.lrWarmup,
        end: flags.lrEnd,
        power: flags.lrPower,
      }),
      ...(movesRho && {
        rho: schedule(rhoSchedule ?? "constant", { warmup: rhoWarmup, end: rhoEnd, power: rhoPower }),
      }),
    },
  };
}

/** What makes an evaluation good, and what follows from that. */
export interface GoalFlags {
  metric?: string;
  metricMode?: "min" | "max";
  patience?: number;
  minDelta?: number;
  keep?: number;
  keepBest?: number;
}

/** The options about the best checkpoints and early stopping. */
export const addGoalOptions = (command: Command): Command =>
  command
    .option("--metric <name>", "what makes a checkpoint the best, and what --patience goes by (default: loss)")
    .addOption(
      new Option(
        "--metric-mode <mode>",
        "whether less or more of it is better (default: less of a loss or an error)",
      ).choices(["min", "max"]),
    )
    .option("--keep <n>", "how many of the last checkpoints stay (default: 2)", integer({ min: 1 }))
    .option("--keep-best <n>", "how many of the best checkpoints stay (default: 1)", integer({ min: 1 }))
    .option("--patience <n>", "stop after so many evaluations in a row that were not better", integer({ min: 1 }))
    .option("--min-delta <x>", "by how much better counts as better (default: 0)", number({ min: 0 }));

/** What these options say to `fit`; `evaluates`: whether there is data to evaluate on. */
export function goalOptions(
  { metric, metricMode, patience, minDelta, keep, keepBest }: GoalFlags,
  evaluates: boolean,
): { checkpoints: Omit<CheckpointOptions, "folder" | "every">; earlyStopping: EarlyStopping | undefined } {
  const needed = { "--metric": metric, "--patience": patience, "--keep-best": keepBest };
  for (const [flag, value] of Object.entries(needed)) {
    if (value !== undefined && !evaluates)
      throw new UsageError(`${flag} needs evaluations; name their data with --eval`);
  }
  for (const [flag, value, owner, given] of [
    ["--metric-mode", metricMode, "--metric", metric],
    ["--min-delta", minDelta, "--patience", patience],
  ] as const) {
    if (value !== undefined && given === undefined)
      throw new UsageError(`${flag} belongs to ${owner}, which is missing`);
  }
  const best: Goal | undefined = metric === undefined ? undefined : { metric, mode: metricMode };
  return {
    checkpoints: { keep, keepBest, best },
    earlyStopping: patience === undefined ? undefined : { patience, minDelta },
  };
}
