import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { formatNumber } from "../../report/table.js";
import { duration } from "../../train/progress.js";
import { check } from "../../util/assert.js";
import { makeFolder } from "../../util/files.js";
import { FolderLock } from "../../util/lock.js";
import { didYouMean } from "../../util/suggest.js";
import type { Context } from "../context.js";
import { UsageError } from "../failure.js";
import { columns, counted } from "../format.js";
import { Board, standOf } from "./board.js";
import { readSweep, type SweepFile } from "./file.js";
import { leaderboard, standings } from "./leaderboard.js";
import { ownResult, Results, writeOwnResult, type SweepResult } from "./results.js";
import { Runner, type Ending } from "./runner.js";
import { checkRuns, runsOf, type SweepRun } from "./runs.js";

export interface SweepFlags {
  jobs: number;
  threads?: number;
  /** Seconds. */
  timeLimit?: number;
  count?: true;
  list?: true;
  only?: number;
  table?: true;
  retry?: true;
  json?: true;
}

/** `program` makes the command that a sweep's file names. */
export async function runSweep(
  context: Context,
  path: string,
  flags: SweepFlags,
  program: (name: SweepFile["program"]) => Command,
): Promise<void> {
  const modes = Object.entries({ count: flags.count, list: flags.list, only: flags.only, table: flags.table });
  const given = modes.filter(([, value]) => value !== undefined).map(([name]) => `--${name}`);
  if (given.length > 1) throw new UsageError(`${given.join(" and ")} exclude each other; give one of them`);
  const file = readSweep(path);
  const runs = runsOf(file, program(file.program));
  checkRuns(file, runs, () => program(file.program));
  if (flags.count) return context.print(String(runs.length));
  if (flags.list) {
    for (const line of columns(runs.map((run) => [String(run.index), run.config.slice(0, 12), nameOf(run)])))
      context.print(line);
    return;
  }
  if (flags.table) return new Sweep(context, file, runs, flags).report();
  if (flags.only !== undefined) return new Sweep(context, file, runs, flags).only(flags.only);
  makeFolder(file.output);
  const lock = FolderLock.take(file.output, "sweep");
  try {
    await new Sweep(context, file, runs, flags).all();
  } finally {
    lock.release();
  }
}

/** `learning_rate=1e-4 rho=0.05 seed=1`. */
const nameOf = ({ parameters, seed }: SweepRun): string =>
  [...Object.entries(parameters), ["seed", seed] as const].map(([name, value]) => `${name}=${value}`).join(" ");

/** A sweep at work. */
class Sweep {
  private readonly results: Results;
  private readonly threads: number;
  private lost = 0;

  constructor(
    private readonly context: Context,
    private readonly file: SweepFile,
    private readonly runs: readonly SweepRun[],
    private readonly flags: SweepFlags,
  ) {
    this.threads = flags.threads ?? Math.max(1, Math.floor(availableParallelism() / flags.jobs));
    this.results = new Results(file.results);
  }

  /** Every run that is not finished. */
  async all(): Promise<void> {
    const { context, runs, results, file, flags } = this;
    results.collect(runs);
    const pending = runs.filter((run) => !this.isFinished(results.of(run)));
    this.announce(`${counted(runs.length, "run")}, ${runs.length - pending.length} of them finished already`);
    const runner = this.runner((run, result) => {
      results.add(result);
      this.tell(run, result);
    });
    const board =
      context.interactive && !flags.json && process.stderr.isTTY
        ? new Board(process.stderr, () => this.boardText(runner))
        : null;
    let ending: Ending;
    try {
      ending = await runner.work(pending);
    } finally {
      board?.close();
    }
    if (ending === "done") this.report();
    else {
      this.report(ending);
      const left = runs.filter((run) => !this.isFinished(results.of(run))).length;
      context.note(`curvsam: ${ending}: ${left} of ${counted(runs.length, "run")} left; the same command goes on`);
    }
    const failed = runs.filter((run) => (results.of(run)?.error ?? null) !== null).length;
    if (failed > 0)
      context.note(`curvsam: ${counted(failed, "run")} failed; ${file.results} says why, --retry repeats them`);
    if (failed > 0 || this.lost > 0) context.fail();
  }

  /** One run, as a job of an array does it. Its result stays in its folder, where `all` and `--table` find it. */
  async only(index: number): Promise<void> {
    const { context, file, runs } = this;
    const run = runs[index];
    check(run, `${file.path}: there is no run ${index}; it has runs 0 to ${runs.length - 1}`);
    if (this.isFinished(this.results.of(run) ?? ownResult(run) ?? undefined)) {
      return context.note(`curvsam: run ${index} (${nameOf(run)}) is finished already`);
    }
    this.announce(`run ${index} of ${runs.length}: ${nameOf(run)}`);
    const runner = this.runner((_, result) => {
      writeOwnResult(run, result);
      this.tell(run, result);
      if (result.error !== null) context.fail();
    });
    const ending = await runner.work([run]);
    if (ending !== "done") context.note(`curvsam: ${ending}; the same command goes on`);
    if (this.lost > 0) context.fail();
  }

  /** The leaderboard of what is finished. */
  report(ending: Ending = "done"): void {
    const { context, file, runs, results, flags } = this;
    results.collect(runs);
    const all = standings(file, runs, (run) => results.of(run));
    if (!flags.json) return context.print(leaderboard(file, all).trimEnd());
    const finished = runs.filter((run) => results.of(run)).length;
    context.printJson({ results: file.results, runs: runs.length, finished, ending, ...file.goal, standings: all });
  }

  private isFinished(result: SweepResult | undefined): boolean {
    return result !== undefined && (result.error === null || !this.flags.retry);
  }

  private runner(onResult: (run: SweepRun, result: SweepResult) => void): Runner {
    const { flags, threads, context } = this;
    return new Runner(this.file, {
      jobs: flags.jobs,
      threads,
      timeLimit: flags.timeLimit === undefined ? undefined : 1000 * flags.timeLimit,
      signal: context.signal,
      onResult,
      onLost: (run, message) => {
        this.lost++;
        context.note(`curvsam: ${nameOf(run)}: ${message}; the same command goes on with it`);
      },
    });
  }

  private announce(what: string): void {
    const { jobs, timeLimit } = this.flags;
    const limit =
      timeLimit === undefined
        ? "no time limit"
        : `time limit ${duration(timeLimit)}, until ${new Date(Date.now() + 1000 * timeLimit).toTimeString().slice(0, 5)}`;
    this.context.note(`curvsam: ${what}; ${jobs} at a time, ${counted(this.threads, "thread")} each; ${limit}`);
  }

  private tell(run: SweepRun, result: SweepResult): void {
    const { context, file, flags, runs, results } = this;
    const finished = runs.filter((each) => results.of(each)).length;
    const place = flags.only === undefined ? `[${finished}/${runs.length}] ` : "";
    const { error, seconds, metrics } = result;
    if (error !== null) return context.note(`curvsam: ${place}${nameOf(run)}: failed: ${error}`);
    const { metric } = file.goal;
    const value = metrics[metric];
    if (typeof value !== "number") {
      const names = Object.keys(metrics);
      const has = didYouMean(metric, names) || `; it has ${names.join(", ")}`;
      return context.note(`curvsam: ${place}${nameOf(run)}: it has no metric "${metric}"${has}`);
    }
    const time = seconds === null ? "" : `, ${duration(seconds)}`;
    if (context.interactive || flags.json) return;
    context.print(`${place}${nameOf(run)}: ${metric} ${formatNumber(value)}${time}`);
  }

  private boardText(runner: Runner): string {
    const { file, runs, results } = this;
    const table = leaderboard(
      file,
      standings(file, runs, (run) => results.of(run)),
    ).trimEnd();
    const finished = runs.filter((run) => results.of(run)).length;
    const running = columns([...runner.running].map((each) => [nameOf(each.run), standOf(each)]));
    return [`${finished} of ${runs.length} finished, ${runner.running.size} running`, ...running, "", table].join("\n");
  }
}
