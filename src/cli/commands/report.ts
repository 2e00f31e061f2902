import { Command } from "commander";
import type { CommandBuilder } from "../context.js";
import { addReportOptions, reportRuns, type ReportFlags } from "../run_report.js";

const help = `
A run is the folder that curvsam train, vision or graph wrote, its package, or its log.jsonl.
Of several runs the page and the table are those of curvsam compare.

Examples:
  $ curvsam report out
  $ curvsam report out -o report.html
  $ curvsam report out --tensorboard events`;

export const command: CommandBuilder = (context) =>
  addReportOptions(
    new Command("report")
      .helpGroup("Training packages:")
      .summary("show a run")
      .description("Tabulates a run and draws its curves, as one HTML page or as TensorBoard's event files.")
      .argument("<runs...>", "runs of curvsam train"),
  )
    .addHelpText("after", help)
    .action((paths: string[], flags: ReportFlags) => reportRuns(context, paths, flags));
