import { statSync } from "node:fs";
import { hostname } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { makeFolder, writeFileAtomically } from "../util/files.js";
import type { Context } from "./context.js";
import { columns } from "./format.js";

/** What the commands that show runs write. */
export interface ReportFlags {
  output?: string;
  tensorboard?: string;
  json?: true;
}

export const addReportOptions = (command: Command): Command =>
  command
    .option("-o, --output <file>", "write an HTML page that needs no other file")
    .option("--tensorboard <folder>", "write an event file for each run into a folder of its name")
    .option("--json", "print one JSON document");

/** Tabulates the runs at `paths`, and writes what the flags ask for. */
export async function reportRuns(context: Context, paths: readonly string[], flags: ReportFlags): Promise<void> {
  const [{ readRunLog }, { htmlReport, summaryRows }] = await Promise.all([
    import("../report/run_log.js"),
    import("../report/html.js"),
  ]);
  const logs = paths.map(readRunLog);
  const names = namesOf(logs.map(({ path }) => path));
  const runs = logs.map((log, i) => ({ name: names[i] ?? "", log }));
  if (flags.output !== undefined) {
    const { version } = await import("../util/version.js");
    const title = runs.length === 1 ? `Run ${names[0] ?? ""}` : listed(names);
    const environment = `curvsam ${version}, Node ${process.versions.node}, ${process.platform} ${process.arch}`;
    const html = await htmlReport(title, runs, environment);
    writeFileAtomically(flags.output, html);
  }
  if (flags.tensorboard !== undefined) {
    const [{ eventFile }, { eventImages }] = await Promise.all([
      import("../report/tensorboard.js"),
      import("../report/pictures.js"),
    ]);
    for (const { name, log } of runs) {
      const folder = join(flags.tensorboard, name);
      makeFolder(folder);
      const time = Math.floor(statSync(log.path).mtimeMs / 1000 - log.seconds);
      const bytes = eventFile(log, time, await eventImages(log));
      writeFileAtomically(join(folder, `events.out.tfevents.${time}.${hostname()}`), bytes);
    }
  }
  const rows = summaryRows(runs);
  if (flags.json) {
    context.printJson(
      runs.map(({ name, log }) => ({
        name,
        ...{ steps: log.lastStep, skipped: log.skipped, seconds: log.seconds, ended: log.ended, start: log.start },
        evaluations: Object.fromEntries(log.evaluations),
      })),
    );
  } else for (const line of columns(rows)) context.print(line);
}

/** `a, b and c`. */
const listed = (names: readonly string[]): string =>
  [names.slice(0, -1).join(", "), ...names.slice(-1)].filter((part) => part !== "").join(" and ");

/** Short names for runs: the first folder from the right that tells them apart. */
function namesOf(paths: readonly string[]): string[] {
  const parts = paths.map((path) => {
    const folder = dirname(resolve(path));
    return basename(folder) === "run" ? basename(dirname(folder)) : basename(folder);
  });
  return new Set(parts).size === parts.length ? parts : paths.map((path, i) => `${i + 1}: ${dirname(path)}`);
}
