import { Command } from "commander";
import type { CommandBuilder } from "../context.js";
import type { ModelReport, TensorsReport } from "../../pack/inspect.js";
import type { PackageReport } from "../../format/state_report.js";
import { UsageError } from "../failure.js";
import { bytes, columns, counted, grouped } from "../format.js";

const help = `
Examples:
  $ curvsam inspect model.onnx
  $ curvsam inspect model.onnx --json
  $ curvsam inspect out --state out/run/checkpoints`;

export const command: CommandBuilder = (context) =>
  new Command("inspect")
    .helpGroup("Models:")
    .summary("show what a model or a training package holds")
    .description(
      "Shows a model's inputs, outputs, opset, parameters, operators and size (external weights are not read), or a " +
        "training package's optimizer, schedule, hyper-parameters and state.",
    )
    .argument("<model>", "an ONNX file, or a folder that curvsam patch wrote")
    .option("--state <path>", "of a package: a checkpoint, the folder of checkpoints, or a saved state to look into")
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (file: string, options: { json?: true; state?: string }) => {
      const { existsSync, statSync } = await import("node:fs");
      if (existsSync(file) && statSync(file).isDirectory()) {
        const [{ reportPackage }, { readManifest }, { readCheckpoint }] = await Promise.all([
          import("../../format/state_report.js"),
          import("../../format/manifest.js"),
          import("../../train/checkpoints.js"),
        ]);
        const { state } = options;
        const path = state === undefined || state.endsWith(".safetensors") ? state : readCheckpoint(state).statePath;
        const report = reportPackage(file, readManifest(file), path);
        if (options.json) context.printJson(report);
        else for (const line of packageListing(report)) context.print(line);
        return;
      }
      if (options.state !== undefined) throw new UsageError(`--state belongs to a package; ${file} is no folder`);
      const { inspectModel } = await import("../../pack/inspect.js");
      const report = inspectModel(file);
      if (options.json) context.printJson(report);
      else for (const line of listing(report)) context.print(line);
    });

const amount = ({ tensors, elements, bytes: n }: TensorsReport): string =>
  `${grouped(elements)} in ${counted(tensors, "tensor")}, ${bytes(n)}`;

const section = (title: string, rows: readonly (readonly string[])[]): string[] =>
  rows.length > 0 ? [title, ...columns(rows)] : [];

const short = (x: number): string => String(Number(x.toPrecision(4)));

function packageListing(report: PackageReport): string[] {
  const { optimizer, parameters, step, kinds } = report;
  const { ascent, combine, base, estimator } = optimizer;
  const curvature = estimator === null ? "" : `, curvature by ${estimator}`;
  const period = (every: number): string => (every === 1 ? "otherwise" : `every ${every} steps`);
  return [
    ...section(report.folder, [
      ["source", report.source],
      ["written by", report.tool],
      ["optimizer", `${ascent}, ${combine}, over ${base}${curvature}`],
      ["parameters", `${counted(parameters.trainable, "tensor")} trained, ${parameters.frozen} frozen`],
      ...(step === null ? [] : [["steps taken", grouped(step)]]),
    ]),
    ...section("schedule", [
      ...report.schedule.map(({ graph, every }) => [graph, period(every)]),
      ...report.refreshes.map(({ graph, every, offset }) => [graph, `before steps ${offset}, ${offset + every}, …`]),
    ]),
    ...section(
      "hyper-parameters",
      Object.entries(report.hyper).map(([name, value]) => [name, String(value)]),
    ),
    ...section(
      `state (values of ${report.values})`,
      kinds.map(({ kind, tensors, elements, bytes: size, values }) => [
        ...[kind, counted(tensors, "tensor"), counted(elements, "element"), bytes(size)],
        values
          ? `rms ${short(values.rms)}, from ${short(values.min)} to ${short(values.max)}${values.finite ? "" : ", NOT FINITE"}`
          : "",
      ]),
    ),
  ];
}

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
