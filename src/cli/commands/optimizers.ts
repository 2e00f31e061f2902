import { Command } from "commander";
import type { Catalogue, PartEntry } from "../../optim/catalogue.js";
import { rangeText } from "../../util/range.js";
import type { CommandBuilder } from "../context.js";
import { columns } from "../format.js";

const help = `
An optimizer is an ascent, a combine rule and a base: patch --optimizer, --combine
and --base. Options without a flag of their own are set with patch --set name=value,
hyper-parameters with --hyper name=x; a training run may change these at every step.

Examples:
  $ curvsam optimizers curvsam
  $ curvsam optimizers --json`;

export const command: CommandBuilder = (context) =>
  new Command("optimizers")
    .helpGroup("Training packages:")
    .summary("list the optimizers and what can be set of them")
    .description("Lists the ascents, combine rules and bases, with their state, cost, options and references.")
    .argument("[name]", "one of them, in full")
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (name: string | undefined, options: { json?: true }) => {
      const { catalogue } = await import("../../optim/catalogue.js");
      const { UsageError } = await import("../failure.js");
      const { didYouMean } = await import("../../util/suggest.js");
      const all = catalogue();
      const parts = name === undefined ? all.parts : all.parts.filter((p) => p.name === name);
      if (parts.length === 0) {
        const names = all.parts.map((p) => p.name);
        throw new UsageError(
          `no optimizer is called "${name ?? ""}"; there are ${names.join(", ")}${didYouMean(name ?? "", names)}`,
        );
      }
      if (options.json) context.printJson(name === undefined ? all : parts[0]);
      else for (const line of name === undefined ? overview(all) : parts.flatMap(details)) context.print(line);
    });

const titles = {
  ascent: "ascents (--optimizer)",
  combine: "combine rules (--combine)",
  base: "bases (--base)",
} as const;

const short = (x: number): string => String(Math.round(100 * x) / 100);

function cost({ kind, gradients }: PartEntry): string {
  if (kind === "combine") return gradients === 1 ? "" : `ascent's gradients × ${short(gradients)}`;
  return gradients === 0 ? "" : `+${short(gradients)} gradients a step`;
}

function overview({ parts, refused }: Catalogue): string[] {
  const lines = Object.entries(titles).flatMap(([kind, title]) => [
    title,
    ...columns(
      parts
        .filter((p) => p.kind === kind)
        .map((p) => [p.name, `${short(p.stateBytes)} B/parameter`, cost(p), p.summary]),
    ),
  ]);
  const no = refused.map((r) => [[r.ascent, r.combine, r.base].filter(Boolean).join(" with "), r.why]);
  return [...lines, "refused", ...columns(no)];
}

function details(p: PartEntry): string[] {
  const options = p.options.map((o) => [
    o.name,
    o.default ?? "–",
    o.description + (o.choices.length > 0 ? ` (${o.choices.join(", ")})` : ""),
  ]);
  const hyper = p.hyper.map((h) => [
    h.name,
    String(h.default),
    h.description +
      (h.range ? `; ${rangeText(h.range)}: ${h.range.reason}` : "") +
      (h.byDefault ? "" : "; not in use by default"),
  ]);
  return [
    `${p.name}: ${p.summary}`,
    ...columns([
      ["reference", p.reference || "none"],
      ["state", `${short(p.stateBytes)} bytes a parameter`],
      ["cost", cost(p) || "nothing beside the gradients"],
    ]),
    ...(options.length > 0 ? ["options", ...columns(options)] : []),
    ...(hyper.length > 0 ? ["hyper-parameters", ...columns(hyper)] : []),
  ];
}
