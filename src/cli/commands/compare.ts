import { Command } from "commander";
import type { CommandBuilder } from "../context.js";
import { UsageError } from "../failure.js";
import { addReportOptions, reportRuns, type ReportFlags } from "../run_report.js";

const help = `
A run is the folder that curvsam train, vision or graph wrote, its package, or its log.jsonl. The table has
a column for each; with -o, curves lie over each other on one page.

Examples:
  $ curvsam compare run-a run-b
  $ curvsam compare sgd/run sam/run curvsam/run -o compare.html
  $ curvsam compare run-a run-b --json`;

export const command: CommandBuilder = (context) =>
  addReportOptions(
    new Command("compare")
      .helpGroup("Training packages:")
      .summary("compare runs")
      .description("Tabulates two or more runs side by side and draws their curves over each other.")
      .argument("<runs...>", "two or more runs"),
  )
    .addHelpText("after", help)
    .action((paths: string[], flags: ReportFlags) => {
      if (paths.length < 2) throw new UsageError("compare takes two runs or more; curvsam report shows one");
      return reportRuns(context, paths, flags);
    });
