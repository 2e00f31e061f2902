import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { manifestFile, readManifest } from "../../format/manifest.js";
import { readRunLog, type RunLog } from "../../report/run_log.js";
import { check, UserError } from "../../util/assert.js";
import { makeFolder, onFile, writeFileAtomically } from "../../util/files.js";
import type { SweepFile } from "./file.js";
import { gradientsOfStep } from "./gradients.js";
import type { SweepRun } from "./runs.js";

const option = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const numbers = z.record(z.string(), z.number().nullable());

const resultSchema = z.object({
  /** SHA-256 of program, options and seed. */
  config: z.string(),
  program: z.string(),
  /** What the sweep varies. */
  parameters: z.record(z.string(), option),
  seed: z.int(),
  metrics: numbers,
  steps: z.int(),
  /** Seconds that training took, over all its pieces; null where nothing was trained. */
  seconds: z.number().nullable(),
  /** Gradient evaluations on a step's batch, a Hessian-vector product counted as two. */
  gradients: z.number().nullable(),
  threads: z.int(),
  /** Every option of the program. */
  options: z.record(z.string(), option),
  /** Why the run failed; null where it did not. */
  error: z.string().nullable(),
});

/** What became of a run: a line of the results. */
export type SweepResult = z.output<typeof resultSchema>;

/** A run's own copy, which a job of an array writes where it cannot add to the file that all share. */
const ownFile = (run: SweepRun): string => join(run.folder, "result.json");

/** The results of a sweep: one JSON line a finished run, in a file that only grows. */
export class Results {
  private readonly byConfig = new Map<string, SweepResult>();

  constructor(private readonly path: string) {
    if (!existsSync(path)) return;
    const lines = onFile(path, "read", () => readFileSync(path, "utf8")).split("\n");
    lines.forEach((line, i) => {
      const result = line === "" ? null : parse(line);
      // A last line without its end was being written when the machine stopped: that run is done again.
      if (line === "" || (!result && i === lines.length - 1)) return;
      check(result, `${path} line ${i + 1}: it is not a line of a sweep's results; mend or remove it`);
      this.byConfig.set(result.config, result);
    });
  }

  of(run: SweepRun): SweepResult | undefined {
    return this.byConfig.get(run.config);
  }

  /** Takes up what jobs of an array finished. */
  collect(runs: readonly SweepRun[]): void {
    for (const run of runs) {
      if (this.byConfig.has(run.config)) continue;
      const result = ownResult(run);
      if (result) this.add(result);
    }
  }

  add(result: SweepResult): void {
    this.byConfig.set(result.config, result);
    makeFolder(dirname(this.path));
    onFile(this.path, "write", () => {
      const torn = existsSync(this.path) && !/^$|\n$/.test(readFileSync(this.path, "utf8"));
      appendFileSync(this.path, `${torn ? "\n" : ""}${JSON.stringify(result)}\n`);
    });
  }
}

function parse(line: string): SweepResult | null {
  try {
    return resultSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}

/** What a job of an array left of `run`. */
export function ownResult(run: SweepRun): SweepResult | null {
  const file = ownFile(run);
  return existsSync(file) ? parse(onFile(file, "read", () => readFileSync(file, "utf8"))) : null;
}

export function writeOwnResult(run: SweepRun, result: SweepResult): void {
  makeFolder(run.folder);
  writeFileAtomically(ownFile(run), `${JSON.stringify(result)}\n`);
}

type Found = Pick<SweepResult, "metrics" | "steps" | "seconds" | "gradients" | "error">;

/** The result of a run that succeeded, from the files that it left and the JSON document that it printed. */
export const resultOf = (file: SweepFile, run: SweepRun, threads: number, printed: string): SweepResult =>
  lineOf(file, run, threads, measured(file, run, printed));

/** The result of a run that failed: why. */
export const failureOf = (file: SweepFile, run: SweepRun, threads: number, error: string): SweepResult =>
  lineOf(file, run, threads, { metrics: {}, steps: 0, seconds: null, gradients: null, error });

function lineOf({ program }: SweepFile, run: SweepRun, threads: number, { error, ...found }: Found): SweepResult {
  const { config, parameters, seed, options } = run;
  return { config, program, parameters, seed, ...found, threads, options, error };
}

function measured(file: SweepFile, run: SweepRun, printed: string): Found {
  const logFile = join(run.folder, "log.jsonl");
  const log = existsSync(logFile) ? readRunLog(logFile) : null;
  const last = { ...lastOf(log?.evaluations), ...lastOf(log?.sharpness, "sharpness/") };
  const metrics = file.program === "glue" ? glueMetrics(run.folder) : { ...last, ...testMetrics(printed) };
  if (!log) return { metrics, steps: 0, seconds: null, gradients: null, error: null };
  const made = join(run.folder, "package");
  const given = String(run.options["package"] ?? run.options["model"] ?? "");
  const manifest = [made, given].find((folder) => existsSync(join(folder, manifestFile)));
  const gradients =
    manifest === undefined
      ? null
      : [...log.variants].reduce((sum, [variant, n]) => sum + n * gradientsOfStep(readManifest(manifest), variant), 0);
  return { metrics, steps: log.lastStep, seconds: log.seconds, gradients, error: null };
}

/** The last value of each track. */
const lastOf = (tracks: RunLog["evaluations"] = new Map(), prefix = ""): SweepResult["metrics"] =>
  Object.fromEntries([...tracks].map(([name, track]) => [`${prefix}${name}`, track.at(-1)?.[1] ?? null]));

const printedSchema = z.object({ test: z.object({ loss: z.number().nullable(), metrics: numbers }) });

/** What a run that ends with a test, of its best checkpoint, printed of it: `test_loss` and so on. */
function testMetrics(printed: string): SweepResult["metrics"] {
  const result = printedSchema.safeParse(JSON.parse(printed));
  if (!result.success) return {};
  const { loss, metrics } = result.data.test;
  return Object.fromEntries(Object.entries({ loss, ...metrics }).map(([name, value]) => [`test_${name}`, value]));
}

/** What `all_results.json` says. */
function glueMetrics(folder: string): SweepResult["metrics"] {
  const file = join(folder, "all_results.json");
  const text = onFile(file, "read", () => readFileSync(file, "utf8"));
  try {
    return numbers.parse(JSON.parse(text));
  } catch {
    throw new UserError(`${file}: it is not the results of a run; remove its folder to do it again`);
  }
}
