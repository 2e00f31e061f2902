import { Command } from "commander";
import type { CommandBuilder } from "../context.js";
import type { ModelReport, TensorsReport } from "../../pack/inspect.js";
import { bytes, columns, counted, grouped } from "../format.js";

const help = `
Examples:
  $ curvsam inspect model.onnx
  $ curvsam inspect model.onnx --json`;

export const command: CommandBuilder = (context) =>
  new Command("inspect")
    .helpGroup("Models:")
    .summary("show a model's inputs, outputs, parameters and operators")
    .description(
      "Shows a model's inputs, outputs, opset, parameters, operators and size. External weights are not read.",
    )
    .argument("<model>", "an ONNX file")
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (file: string, options: { json?: true }) => {
      const { inspectModel } = await import("../../pack/inspect.js");
      const report = inspectModel(file);
      if (options.json) context.printJson(report);
      else for (const line of listing(report)) context.print(line);
    });

const amount = ({ tensors, elements, bytes: n }: TensorsReport): string =>
  `${grouped(elements)} in ${counted(tensors, "tensor")}, ${bytes(n)}`;

const section = (title: string, rows: readonly (readonly string[])[]): string[] =>
  rows.length > 0 ? [title, ...columns(rows)] : [];

function listing(report: ModelReport): string[] {
  const { file, size, parameters, constants, external } = report;
  const opsets = Object.entries(report.opsets).map(([domain, version]) => `${domain} ${version}`);
  const outside = external.files.length > 0 ? ` and ${bytes(external.bytes)} of external data` : "";
  return [
    ...section(file, [
      ["producer", report.producer || "not given"],
      ["format", `IR ${report.irVersion}, opsets ${opsets.join(", ")}`],
      ["size", `${bytes(size)}${outside}`],
      ["parameters", amount(parameters)],
      ...(constants.tensors > 0 ? [["constants", amount(constants)]] : []),
      ["nodes", grouped(report.nodes)],
    ]),
    ...section(
      "inputs",
      report.inputs.map(({ name, type }) => [name, type]),
    ),
    ...section(
      "outputs",
      report.outputs.map(({ name, type }) => [name, type]),
    ),
    ...section(
      "operators",
      Object.entries(report.ops).map(([op, count]) => [op, grouped(count)]),
    ),
    ...section(
      "functions",
      report.functions.map((name) => [name]),
    ),
    ...section(
      "external data",
      external.files.map((name) => [name]),
    ),
  ];
}
