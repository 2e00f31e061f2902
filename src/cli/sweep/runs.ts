import { join } from "node:path";
import type { Command } from "commander";
import { check, UserError } from "../../util/assert.js";
import { sha256Of } from "../../util/hash.js";
import { Rng } from "../../util/rng.js";
import { didYouMean } from "../../util/suggest.js";
import type { Distribution, OptionValue, SweepFile } from "./file.js";

/** One run of a sweep. */
export interface SweepRun {
  /** Its place in the sweep, from 0. */
  index: number;
  /** What the sweep varies, and the seed. */
  parameters: Readonly<Record<string, OptionValue>>;
  seed: number;
  /** Every option of the program, those of `base` too. */
  options: Readonly<Record<string, OptionValue>>;
  /** SHA-256 of the program, its options and the seed: equal hashes are equal runs. */
  config: string;
  /** The folder of its files. */
  folder: string;
}

/** Options that the sweep sets itself, and what to say instead. */
const reserved: Readonly<Record<string, string>> = {
  seed: "list them under seeds",
  threads: "give --threads to curvsam sweep",
  output: "runs go to folders under the sweep's output",
  output_dir: "runs go to folders under the sweep's output",
  overwrite_output_dir: "a sweep goes on with what it left",
  resume: "a sweep goes on with what it left",
  resume_from_checkpoint: "a sweep goes on with what it left",
  json: "results go to the sweep's results",
};

/**
 * The runs of a sweep: each seed, on each grid's points, with each trial's draws. A seed's runs come before the next seed's, so that a
 * sweep that is cut off has compared everything on its first seeds. Trial k draws the same, however many there are.
 *
 * Throws a UserError for an option that the program does not have, naming near misses.
 */
export function runsOf(file: SweepFile, program: Command): SweepRun[] {
  const varied = [...file.grids.flatMap((grid) => Object.keys(grid)), ...Object.keys(file.random?.distributions ?? {})];
  for (const name of [...Object.keys(file.base), ...varied]) checkOption(file.path, name, program);
  const points = file.grids.flatMap(pointsOf);
  const trials = trialsOf(file);
  const runs = file.seeds.flatMap((seed) =>
    points.flatMap((point) =>
      trials.map((trial) => {
        const parameters = { ...point, ...trial };
        const options = { ...file.base, ...parameters };
        const config = hashOf(file.program, options, seed);
        return { parameters, seed, options, config, folder: join(file.output, config.slice(0, 12)) };
      }),
    ),
  );
  const distinct = [...new Map(runs.map((run) => [run.config, run])).values()];
  return distinct.map((run, index) => ({ index, ...run }));
}

function checkOption(path: string, name: string, program: Command): void {
  const [option = ""] = name.split(".");
  const why = Object.hasOwn(reserved, option) ? reserved[option] : undefined;
  check(why === undefined, `${path}: "${option}" is not for the file to set: ${why ?? ""}`);
  const known = [
    ...program.options.flatMap(({ long }) => (long === undefined ? [] : [long.slice(2)])),
    ...(program.registeredArguments.some((argument) => argument.name() === "package") ? ["package"] : []),
  ].filter((each) => !Object.hasOwn(reserved, each));
  check(known.includes(option), () => {
    const near = didYouMean(option, known) || `; curvsam ${program.name()} --help lists them`;
    return `${path}: curvsam ${program.name()} has no option "${option}"${near}`;
  });
}

/** Every combination of a grid's values; the first option changes slowest. */
function pointsOf(grid: Readonly<Record<string, readonly OptionValue[]>>): Record<string, OptionValue>[] {
  return Object.entries(grid).reduce<Record<string, OptionValue>[]>(
    (points, [name, values]) => points.flatMap((point) => values.map((value) => ({ ...point, [name]: value }))),
    [{}],
  );
}

function trialsOf({ random }: SweepFile): Record<string, OptionValue>[] {
  if (!random) return [{}];
  return Array.from({ length: random.trials }, (_, trial) =>
    Object.fromEntries(
      Object.entries(random.distributions).map(([name, distribution]) => [
        name,
        draw(distribution, new Rng(random.seed, "sweep", trial, name)),
      ]),
    ),
  );
}

/** Numbers are rounded to four digits: they are to be read, and typed again. */
function draw(distribution: Distribution, rng: Rng): OptionValue {
  if ("choice" in distribution) return distribution.choice[rng.int(distribution.choice.length)] ?? null;
  if ("int" in distribution) return distribution.int[0] + rng.int(distribution.int[1] - distribution.int[0] + 1);
  const between = ([low, high]: readonly [number, number]): number => low + (high - low) * rng.uniform();
  const x =
    "uniform" in distribution
      ? between(distribution.uniform)
      : Math.exp(between([Math.log(distribution.log_uniform[0]), Math.log(distribution.log_uniform[1])]));
  return Number(x.toPrecision(4));
}

function hashOf(program: string, options: Readonly<Record<string, OptionValue>>, seed: number): string {
  const sorted = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
  return sha256Of(JSON.stringify([program, sorted, seed]));
}

/** The options on a command line. */
export function argumentsOf({ options, seed }: SweepRun): string[] {
  const flags = Object.entries(options).flatMap(([name, value]) => {
    if (name === "package") return [String(value)];
    if (value === null || value === false) return [];
    const [option, entry] = [name.split(".", 1)[0] ?? "", name.split(".").slice(1).join(".")];
    if (value === true) return [`--${option}`];
    return [`--${option}=${entry ? `${entry}=` : ""}${value}`];
  });
  return [...flags, `--seed=${seed}`];
}

/** Parses each run's options as the program will, so that a bad value is refused before anything runs. */
export function checkRuns(file: SweepFile, runs: readonly SweepRun[], program: () => Command): void {
  for (const run of runs) {
    const place = file.program === "glue" ? ["--output_dir=x"] : [];
    const command = program()
      .exitOverride()
      .configureOutput({ writeErr: () => undefined })
      .action(() => undefined);
    try {
      command.parse([...argumentsOf(run), ...place], { from: "user" });
    } catch (error) {
      const message = (error instanceof Error ? error.message : String(error)).replace(/^error: /, "");
      throw new UserError(`${file.path}: run ${run.index}: ${message}; see curvsam ${file.program} --help`);
    }
  }
}
