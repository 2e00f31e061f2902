import { readFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { resolveGoal, type ResolvedGoal } from "../../train/goals.js";
import { check, UserError } from "../../util/assert.js";
import { onFile } from "../../util/files.js";
import { didYouMean } from "../../util/suggest.js";

/** What an option may be set to; null and false leave it out. */
const value = z.union([z.string(), z.number(), z.boolean(), z.null()], {
  error: "expected a text, a number, true, false or null",
});
export type OptionValue = z.output<typeof value>;

/** `hyper: {beta2: 0.98}` is the option `hyper.beta2`. */
const options = z.record(z.string(), z.union([value, z.record(z.string(), value)]));
const choices = z.record(z.string(), z.array(value).min(1));

const interval = z.tuple([z.number(), z.number()]).refine(([low, high]) => low < high, "expected [low, high]");
const positive = interval.refine(([low]) => low > 0, "the logarithm needs bounds above 0");
const whole = z.tuple([z.int(), z.int()]).refine(([low, high]) => low <= high, "expected [low, high]");
const distribution = z.union(
  [
    z.strictObject({ uniform: interval }),
    z.strictObject({ log_uniform: positive }),
    z.strictObject({ int: whole }),
    z.strictObject({ choice: z.array(value).min(1) }),
  ],
  { error: "expected uniform, log_uniform or int: [low, high], or choice: [values]; log_uniform takes bounds above 0" },
);
export type Distribution = z.output<typeof distribution>;

/** The commands that a sweep can run. */
const programs = ["glue", "graph", "train", "vision"] as const;
export type SweepProgram = (typeof programs)[number];

const schema = z.strictObject({
  program: z.enum(programs),
  output: z.string().min(1).optional(),
  results: z.string().min(1).optional(),
  keep: z.enum(["all", "log"]).default("all"),
  metric: z.string().min(1),
  mode: z.enum(["min", "max"]).optional(),
  base: options.default({}),
  grid: z.union([choices, z.array(choices).min(1)], { error: "expected options with lists of values" }).default({}),
  random: z
    .strictObject({
      trials: z.int().positive(),
      seed: z.int().default(0),
      distributions: z.record(z.string(), distribution),
    })
    .optional(),
  seeds: z.array(z.int()).min(1).default([0]),
});

/** A sweep's file, as read. */
export interface SweepFile {
  path: string;
  program: SweepProgram;
  /** The folder of the runs, and the file of their results. */
  output: string;
  results: string;
  /** Whether weights and checkpoints of finished runs stay. */
  keep: "all" | "log";
  goal: ResolvedGoal;
  base: Readonly<Record<string, OptionValue>>;
  /** Each is searched on its own. */
  grids: readonly Readonly<Record<string, readonly OptionValue[]>>[];
  random: { trials: number; seed: number; distributions: Readonly<Record<string, Distribution>> } | undefined;
  seeds: readonly number[];
}

/** Reads the YAML file of a sweep; a key that it does not know is an error that names its near misses. */
export function readSweep(path: string): SweepFile {
  const text = onFile(path, "read", () => readFileSync(path, "utf8"));
  let raw: unknown;
  try {
    raw = parse(text);
  } catch (error) {
    const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    throw new UserError(`${path}: it is not YAML: ${line.replace(/:$/, "")}`);
  }
  const result = schema.safeParse(raw, { reportInput: true });
  if (!result.success) {
    const { issues } = result.error;
    // A misspelt key is also missing: its name tells more.
    const issue = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0];
    throw new UserError(`${path}: ${problem(issue)}`);
  }
  const { program, keep, metric, mode, base, grid, random, seeds } = result.data;
  check(new Set(seeds).size === seeds.length, `${path}: seeds: one of them is there twice`);
  const output = result.data.output ?? join(dirname(path), basename(path, extname(path)));
  return {
    ...{ path, program, output, keep, random, seeds },
    results: result.data.results ?? join(output, "results.jsonl"),
    goal: resolveGoal({ metric, mode }),
    base: flat(base),
    grids: Array.isArray(grid) ? grid : [grid],
  };
}

function problem(issue: z.core.$ZodIssue | undefined): string {
  const at = issue?.path.join(".") ?? "";
  if (issue?.code === "invalid_type" && issue.input === undefined && at !== "") return `"${at}" is missing`;
  if (issue?.code !== "unrecognized_keys") return `${at || "the whole"}: ${issue?.message ?? "not valid"}`;
  const [key = ""] = issue.keys;
  const known = issue.path.length === 0 ? Object.keys(schema.shape) : ["trials", "seed", "distributions"];
  return `there is no key "${[...issue.path, key].join(".")}"${didYouMean(key, known) || `; use ${known.join(", ")}`}`;
}

function flat(base: z.output<typeof options>): Record<string, OptionValue> {
  return Object.fromEntries(
    Object.entries(base).flatMap(([name, given]) =>
      typeof given === "object" && given !== null
        ? Object.entries(given).map(([key, each]) => [`${name}.${key}`, each] as const)
        : [[name, given] as const],
    ),
  );
}
