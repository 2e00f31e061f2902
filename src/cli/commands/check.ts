import { Command } from "commander";
import type { CheckReport } from "../../pack/check.js";
import type { CommandBuilder } from "../context.js";
import { columns, counted } from "../format.js";
import { list } from "../parse.js";

const help = `
Exits 1 if a derivative has to pass a node that has none. Warns of attentions that
lost their dropout in the export.

Examples:
  $ curvsam check model.onnx
  $ curvsam check model.onnx --logits logits --json`;

interface Flags {
  logits?: string[];
  json?: true;
}

export const command: CommandBuilder = (context) =>
  new Command("check")
    .helpGroup("Models:")
    .summary("tell whether a model can be differentiated")
    .description("Lists every node that stands between a parameter and the outputs and has no derivative rule.")
    .argument("<model>", "an ONNX file")
    .option("--logits <outputs>", "only the way to these outputs (default: all)", list)
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (file: string, flags: Flags) => {
      const { checkModel } = await import("../../pack/check.js");
      const report = await checkModel(file, flags.logits);
      if (!report.differentiable) context.fail();
      for (const { message } of report.warnings) context.note(`curvsam: warning: ${message}`);
      if (flags.json) context.printJson(report);
      else for (const line of listing(report)) context.print(line);
    });

function listing({ file, parameters, missing, differentiable }: CheckReport): string[] {
  const found = counted(parameters.length, "parameter tensor");
  if (differentiable) return [`${file}: differentiable: ${found}, every node on the way has its derivatives`];
  if (parameters.length === 0) {
    return [`${file}: no trainable parameter: no floating-point initializer reaches the outputs`];
  }
  return [
    `${file}: not differentiable: ${counted(missing.length, "node")} without derivatives`,
    ...columns(missing.map(({ op, name, path }) => [op, name || "(no name)", path])),
  ];
}
