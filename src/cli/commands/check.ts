import { Command, Option } from "commander";
import type { KernelProvider, KernelReport } from "../../lower/kernel_report.js";
import type { CheckReport } from "../../pack/check.js";
import type { Precision } from "../../frontend/autocast.js";
import type { CommandBuilder } from "../context.js";
import { UsageError } from "../failure.js";
import { columns, counted, grouped } from "../format.js";
import { lossKinds, type LossKind } from "../loss.js";
import { list } from "../parse.js";

const help = `
Exits 1 if a derivative has to pass a node that has none. Warns of attentions that
lost their dropout in the export.

With --ep: the nodes of the training graphs, as they are lowered for the provider, that it
has no kernel for, by the kernel table of the ONNX Runtime that this version is tested with,
and those that sessions keep from it, as its kernels fail in their form. They fall back to
the CPU, which copies their tensors to and fro at every step; exits 1 if the CPU cannot run
them either. Of a model, the graphs are those of CurvSAM over SGD; of a package, its own.

Examples:
  $ curvsam check model.onnx
  $ curvsam check model.onnx --logits logits --json
  $ curvsam check model.onnx --ep webgpu --loss cross-entropy
  $ curvsam check model.onnx --ep cuda --precision mixed
  $ curvsam check out --ep cuda`;

interface Flags {
  logits?: string[];
  ep?: KernelProvider;
  loss?: LossKind;
  precision?: Precision;
  json?: true;
}

export const command: CommandBuilder = (context) =>
  new Command("check")
    .helpGroup("Models:")
    .summary("tell whether a model can be differentiated, and what a provider lacks")
    .description("Lists every node that stands between a parameter and the outputs and has no derivative rule.")
    .argument("<model>", "an ONNX file; with --ep also a folder that curvsam patch wrote")
    .option("--logits <outputs>", "only the way to these outputs (default: all)", list)
    .addOption(
      new Option("--ep <provider>", "also the nodes that this execution provider has no kernel for").choices([
        "cpu",
        "cuda",
        "dml",
        "webgpu",
      ]),
    )
    .addOption(
      new Option("--loss <kind>", "--ep on a model: the loss of its graphs (default: cross-entropy)").choices(
        lossKinds,
      ),
    )
    .addOption(
      new Option("--precision <name>", "--ep on a model: what its graphs compute in (default: float32)").choices([
        "float32",
        "mixed",
      ]),
    )
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (file: string, flags: Flags) => {
      const { existsSync, statSync } = await import("node:fs");
      for (const flag of ["loss", "precision"] as const)
        if (flags[flag] !== undefined && flags.ep === undefined) throw new UsageError(`--${flag} belongs to --ep`);
      if (existsSync(file) && statSync(file).isDirectory()) {
        if (flags.ep === undefined) throw new UsageError(`${file} is a folder: of a package, --ep says what to check`);
        const { packageKernels } = await import("../kernels.js");
        const kernels = packageKernels(file, flags.ep);
        if (lacksKernels(kernels)) context.fail();
        if (flags.json) context.printJson({ file, kernels });
        else for (const line of kernelListing(file, kernels)) context.print(line);
        return;
      }
      const { checkModel } = await import("../../pack/check.js");
      const report = await checkModel(file, flags.logits);
      let kernels: KernelReport | undefined;
      if (flags.ep !== undefined && report.differentiable) {
        const { sourceKernels } = await import("../kernels.js");
        kernels = await sourceKernels(file, flags.ep, {
          kind: flags.loss ?? "cross-entropy",
          logits: flags.logits?.[0],
          precision: flags.precision ?? "float32",
        });
      }
      if (!report.differentiable || (kernels && lacksKernels(kernels))) context.fail();
      for (const { message } of report.warnings) context.note(`curvsam: warning: ${message}`);
      if (flags.json) context.printJson({ ...report, ...(kernels && { kernels }) });
      else {
        for (const line of listing(report)) context.print(line);
        for (const line of kernels ? kernelListing(file, kernels) : []) context.print(line);
      }
    });

const lacksKernels = ({ gaps }: KernelReport): boolean => gaps.some((gap) => gap.instead === null);

function listing({ file, parameters, missing, ends, differentiable }: CheckReport): string[] {
  const found = counted(parameters.length, "parameter tensor");
  if (differentiable) return [`${file}: differentiable: ${found}, every node on the way has its derivatives`];
  if (parameters.length === 0) {
    const why =
      ends.length > 0 ? `derivatives end at ${ends.join(", ")}` : "no floating-point initializer reaches the outputs";
    return [`${file}: no trainable parameter: ${why}`];
  }
  return [
    `${file}: not differentiable: ${counted(missing.length, "node")} without derivatives`,
    ...columns(missing.map(({ op, name, path }) => [op, name || "(no name)", path])),
  ];
}

function kernelListing(file: string, { provider, runtime, graphs, gaps, lowered }: KernelReport): string[] {
  const by = (instead: KernelReport["gaps"][number]["instead"]): KernelReport["gaps"] =>
    gaps.filter((gap) => gap.instead === instead);
  const [nowhere, fallback, expanded] = [by(null), by("cpu"), by("expanded")];
  const sum = (rows: readonly { nodes: number }[]): number => rows.reduce((n, row) => n + row.nodes, 0);
  const rows = (list: KernelReport["gaps"]): string[] =>
    columns(
      list.map(({ op, why, nodes, graphs: within, names }) => [
        ...[op, why, counted(nodes, "node")],
        `${within.join(", ")}: ${names.join(", ")}${nodes > names.length ? ", …" : ""}`,
      ]),
    );
  const lacking = [
    ...(nowhere.length > 0 ? [`${counted(sum(nowhere), "node")} without a kernel anywhere`] : []),
    ...(fallback.length > 0 ? [`${counted(sum(fallback), "node")} on the CPU`] : []),
    ...(expanded.length > 0 ? [`${counted(sum(expanded), "node")} expanded`] : []),
  ];
  return [
    `${file}: ${provider}, kernels of ONNX Runtime ${runtime}: ${counted(graphs.length, "graph")} of ` +
      `${counted(sum(graphs), "node")}: ${lacking.join(", ") || "a kernel for every node"}`,
    ...columns([
      ["graph", "nodes", "on the CPU", "expanded", "nowhere"],
      ...graphs.map((row) => [
        row.graph,
        ...[row.nodes, provider === "cpu" ? row.nodes - row.expanded - row.nowhere : row.onCpu].map(grouped),
        ...[row.expanded, row.nowhere].map(grouped),
      ]),
    ]),
    ...(nowhere.length > 0 ? ["no kernel anywhere", ...rows(nowhere)] : []),
    ...(fallback.length > 0 ? ["fall back to the CPU", ...rows(fallback)] : []),
    ...(expanded.length > 0 ? ["expanded by the runtime into other operators", ...rows(expanded)] : []),
    ...(lowered.length > 0
      ? [
          "lowered when the graphs are opened",
          ...columns(lowered.map(({ lowering, does, nodes }) => [lowering, counted(nodes, "node"), does])),
        ]
      : []),
  ];
}
