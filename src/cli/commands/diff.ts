import { Command } from "commander";
import type { DiffReport, GraphDiff, NamesDiff, NodeDiff } from "../../pack/diff.js";
import type { CommandBuilder } from "../context.js";
import { bytes, columns, counted, grouped } from "../format.js";

const help = `
Nodes are followed by what they compute, then by their names; parameters that became
inputs are the initializers that they were. Bodies of If, Loop and Scan belong to their
nodes.

Examples:
  $ curvsam diff model.onnx out
  $ curvsam diff model.onnx out --graph step
  $ curvsam diff model.onnx finetuned.onnx --json`;

export const command: CommandBuilder = (context) =>
  new Command("diff")
    .helpGroup("Models:")
    .summary("show what training graphs add to a model")
    .description(
      "Shows what a model or a training package has that another model has not: nodes by phase and operator, inputs, " +
        "outputs, initializers and bytes, and what of the original is kept, changed or gone.",
    )
    .argument("<before>", "an ONNX file")
    .argument("<after>", "an ONNX file, or a folder that curvsam patch wrote")
    .option("--graph <name>", "of a package: only this graph, in full")
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (before: string, after: string, flags: { graph?: string; json?: true }) => {
      const { diffModels } = await import("../../pack/diff.js");
      const report = diffModels(before, after, flags.graph);
      if (flags.json) context.printJson(report);
      else for (const line of listing(report, after)) context.print(line);
    });

function listing(report: DiffReport, after: string): string[] {
  const [only, ...others] = report.graphs;
  return only && others.length === 0 ? inFull(report, only) : overview(report, after);
}

const size = (file: { bytes: number; external: number }): string =>
  `${bytes(file.bytes)}${file.external > 0 ? ` and ${bytes(file.external)} of external data` : ""}`;

/** A row a graph. */
function overview({ file, graphs, nodes, ...sizes }: DiffReport, folder: string): string[] {
  const phasesOf = (graph: GraphDiff): string => graph.phases.map((p) => `${p.phase} ${grouped(p.nodes)}`).join(", ");
  return [
    `${file} → ${folder}: ${counted(nodes, "node")}, ${size(sizes)} before`,
    ...columns([
      ["graph", "kept", "changed", "gone", "added", "inputs", "outputs", "size", "nodes by phase"],
      ...graphs.map((graph) => [
        graph.graph,
        grouped(graph.nodes.kept),
        grouped(graph.nodes.changed.length),
        grouped(graph.nodes.gone.length),
        `+${grouped(graph.nodes.added)}`,
        `+${grouped(graph.inputs.added.length + graph.initializers.fed.length)}`,
        `+${grouped(graph.outputs.added.length)}`,
        bytes(graph.bytes + graph.external),
        phasesOf(graph),
      ]),
    ]),
  ];
}

/** As many as a screen takes; `--json` has them all. */
const shown = 12;
const shownOps = 6;

function inFull({ file, nodes, ...sizes }: DiffReport, graph: GraphDiff): string[] {
  const { kept, changed, gone, added, total } = graph.nodes;
  const { fed, was, is, ...initializers } = graph.initializers;
  const became = fed.length > 0 ? `${grouped(fed.length)} became inputs, ` : "";
  return [
    `${file} → ${graph.file}`,
    ...columns([
      ["phase", "nodes", "original", "added", ""],
      ...graph.phases.map((p) => [
        ...[p.phase, grouped(p.nodes), grouped(p.original), `+${grouped(p.added)}`],
        opsText(p.ops),
      ]),
    ]),
    ...columns([
      ["nodes", `${grouped(nodes)} → ${grouped(total)}`, stat(kept, changed.length, gone.length, added)],
      ["inputs", "", namesText(graph.inputs)],
      ["outputs", "", namesText(graph.outputs)],
      ["initializers", `${bytes(was)} → ${bytes(is)}`, `${became}${namesStat(initializers)}`],
      ["file", `${size(sizes)} → ${size(graph)}`],
    ]),
    ...section(
      "changed",
      alike(changed, (node) => [node.op, node.differs.join(", ")]),
    ),
    ...section(
      "gone",
      alike(gone, (node) => [node.op]),
    ),
    ...section(
      "changed in type or values",
      [graph.inputs, graph.outputs, initializers].flatMap((n) => n.changed).map((c) => [c.name, `${c.was} → ${c.is}`]),
    ),
  ];
}

/** Nodes of which the same is to be said, in one row: that, how many they are, and some of their names. */
function alike<T extends NodeDiff>(nodes: readonly T[], cells: (node: T) => string[]): string[][] {
  const rows = new Map<string, { cells: string[]; names: string[] }>();
  for (const node of nodes) {
    const key = cells(node).join("\n");
    const row = rows.get(key) ?? { cells: cells(node), names: [] };
    rows.set(key, row);
    row.names.push(node.name || "(no name)");
  }
  return Array.from(rows.values())
    .sort((a, b) => b.names.length - a.names.length)
    .map((row) => [...row.cells, grouped(row.names.length), few(row.names, 3)]);
}

const stat = (kept: number, changed: number, gone: number, added: number): string =>
  [
    ...[`${grouped(kept)} kept`, `${grouped(changed)} changed`, `${grouped(gone)} gone`],
    `${grouped(added)} added`,
  ].join(", ");

const namesStat = ({ kept, changed, gone, added }: NamesDiff): string =>
  stat(kept.length, changed.length, gone.length, added.length);

/** `2 kept, 0 changed, 0 gone, 14 added: hyper/… 9, labels, …`. */
function namesText(diff: NamesDiff): string {
  const kinds = new Map<string, number>();
  for (const name of diff.added) {
    const kind = name.includes("/") ? `${name.slice(0, name.indexOf("/"))}/…` : name;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  const text = Array.from(kinds, ([kind, n]) => (kind.endsWith("/…") ? `${kind} ${grouped(n)}` : kind));
  return text.length > 0 ? `${namesStat(diff)}: ${few(text, shown)}` : namesStat(diff);
}

const opsText = (ops: Readonly<Record<string, number>>): string =>
  few(
    Object.entries(ops).map(([op, n]) => `${op} ${grouped(n)}`),
    shownOps,
  );

const few = (texts: readonly string[], most: number): string =>
  texts.length > most ? `${texts.slice(0, most).join(", ")}, … ${texts.length - most} more` : texts.join(", ");

function section(title: string, rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [];
  const more = rows.length > shown ? [`  … and ${grouped(rows.length - shown)} more; --json lists them`] : [];
  return [title, ...columns(rows.slice(0, shown)), ...more];
}
