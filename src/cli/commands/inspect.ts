import { Command } from "commander";
import type { CommandBuilder } from "../context.js";
import type { ModelReport, TensorsReport } from "../../pack/inspect.js";
import type { PackageReport } from "../../format/state_report.js";
import type { PackageCosts } from "../../runtime/costs.js";
import { UsageError } from "../failure.js";
import { bytes, columns, counted, grouped } from "../format.js";
import { assignments } from "../parse.js";

const help = `
Examples:
  $ curvsam inspect model.onnx
  $ curvsam inspect model.onnx --json
  $ curvsam inspect out --state out/run/checkpoints
  $ curvsam inspect out --sizes batch=32 --sizes sequence=128`;

interface Flags {
  json?: true;
  state?: string;
  sizes?: Record<string, number>;
}

export const command: CommandBuilder = (context) =>
  new Command("inspect")
    .helpGroup("Models:")
    .summary("show what a model or a training package holds")
    .description(
      "Shows a model's inputs, outputs, opset, parameters, operators and size (external weights are not read), or a " +
        "training package's optimizer, schedule, hyper-parameters, state, and what its steps cost.",
    )
    .argument("<model>", "an ONNX file, or a folder that curvsam patch wrote")
    .option("--state <path>", "of a package: a checkpoint, the folder of checkpoints, or a saved state to look into")
    .option(
      "--sizes <name=n>",
      "of a package: a dynamic dimension's size that costs are for (default: 16, then 64)",
      assignments,
    )
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (file: string, options: Flags) => {
      const { existsSync, statSync } = await import("node:fs");
      if (existsSync(file) && statSync(file).isDirectory()) {
        const [{ reportPackage }, { readManifest }, { readCheckpoint }, { packageCosts }] = await Promise.all([
          import("../../format/state_report.js"),
          import("../../format/manifest.js"),
          import("../../train/checkpoints.js"),
          import("../../runtime/costs.js"),
        ]);
        const { state } = options;
        const path =
          state === undefined || state.endsWith(".safetensors") ? state : (await readCheckpoint(state)).statePath;
        const manifest = readManifest(file);
        const report = reportPackage(file, manifest, path);
        const costs = packageCosts(file, manifest, options.sizes);
        if (options.json) context.printJson({ ...report, costs });
        else for (const line of [...packageListing(report), ...costListing(costs)]) context.print(line);
        return;
      }
      for (const flag of ["state", "sizes"] as const) {
        if (options[flag] !== undefined) throw new UsageError(`--${flag} belongs to a package; ${file} is no folder`);
      }
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

/** `41.3 GFLOP`. */
function flops(n: number): string {
  const power = Math.max(0, Math.min(4, Math.floor(Math.log10(Math.max(1, n)) / 3)));
  return `${(n / 1000 ** power).toPrecision(3)} ${["", "k", "M", "G", "T"][power] ?? ""}FLOP`;
}

function costListing({ sizes, graphs, held }: PackageCosts): string[] {
  const at = Object.entries(sizes).map(([name, size]) => `${name} ${size}`);
  return section(`cost of a step${at.length > 0 ? ` at ${at.join(", ")}` : ""}`, [
    ...Object.entries(graphs).map(([name, cost]) => [
      name,
      `${flops(Object.values(cost.flops).reduce((sum, n) => sum + n, 0))} in products`,
      `${bytes(cost.moved)} moved by other nodes`,
      `${bytes(cost.peak)} at the peak${cost.unknown > 0 ? `; ${counted(cost.unknown, "product")} of unknown size` : ""}`,
    ]),
    ["held always", `${bytes(held)} of parameters and state`],
  ]);
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
