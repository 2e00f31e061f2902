import { statSync } from "node:fs";
import { hostname } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { Command } from "commander";
import { makeFolder, writeFileAtomically } from "../../util/files.js";
import type { CommandBuilder } from "../context.js";
import { columns } from "../format.js";

const help = `
A run is the folder that curvsam train wrote, its package, or its log.jsonl. Of several runs, curves
lie over each other and the table has a column for each.

Examples:
  $ curvsam report out
  $ curvsam report out -o report.html
  $ curvsam report run-a run-b -o compare.html
  $ curvsam report out --tensorboard events`;

interface Flags {
  output?: string;
  tensorboard?: string;
  json?: true;
}

export const command: CommandBuilder = (context) =>
  new Command("report")
    .alias("compare")
    .helpGroup("Training packages:")
    .summary("show a run, or compare several")
    .description("Tabulates runs and draws their curves, as one HTML page or as TensorBoard's event files.")
    .argument("<runs...>", "runs of curvsam train")
    .option("-o, --output <file>", "write an HTML page that needs no other file")
    .option("--tensorboard <folder>", "write an event file for each run into a folder of its name")
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (paths: string[], flags: Flags) => {
      const [{ readRunLog }, { htmlReport, summaryRows }] = await Promise.all([
        import("../../report/run_log.js"),
        import("../../report/html.js"),
      ]);
      const logs = paths.map(readRunLog);
      const names = namesOf(logs.map(({ path }) => path));
      const runs = logs.map((log, i) => ({ name: names[i] ?? "", log }));
      if (flags.output !== undefined) {
        const { version } = await import("../../util/version.js");
        const title = runs.length === 1 ? `Run ${names[0] ?? ""}` : names.join(" and ");
        const environment = `curvsam ${version}, Node ${process.versions.node}, ${process.platform} ${process.arch}`;
        const html = await htmlReport(title, runs, environment);
        writeFileAtomically(flags.output, html);
      }
      if (flags.tensorboard !== undefined) {
        const [{ eventFile }, { eventImages }] = await Promise.all([
          import("../../report/tensorboard.js"),
          import("../../report/pictures.js"),
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
    });

/** Short names for runs: the first folder from the right that tells them apart. */
function namesOf(paths: readonly string[]): string[] {
  const parts = paths.map((path) => {
    const folder = dirname(resolve(path));
    return basename(folder) === "run" ? basename(dirname(folder)) : basename(folder);
  });
  return new Set(parts).size === parts.length ? parts : paths.map((path, i) => `${i + 1}: ${dirname(path)}`);
}
