import { catalogue, type HyperEntry, type PartEntry } from "../../src/optim/catalogue.js";
import { formatNumber, markdownTable } from "../../src/report/table.js";
import { must } from "../../src/util/assert.js";
import { rangeText } from "../../src/util/range.js";

const begin = (name: string): string => `<!-- ${name}: written by npm run docs -->`;
const end = "<!-- end -->";

const code = (text: string): string => `\`${text}\``;

/** `markdown` with what stands between its marks written anew from the catalogue: every part must have marks of its name. */
export function optimizerReference(markdown: string): string {
  const { parts, refused } = catalogue();
  const texts = new Map<string, string>([
    ["parts", overview(parts)],
    ...parts.map((part) => [part.name, partTable(part)] as const),
    [
      "refused",
      refused
        .map((r) => `- ${[r.ascent, r.combine, r.base].filter(Boolean).map(code as (x: unknown) => string).join(" with ")}: ${r.why}.`)
        .join("\n"),
    ],
  ]);
  let result = markdown;
  for (const [name, text] of texts) {
    const from = result.indexOf(begin(name));
    must(from >= 0 ? from : undefined, `the mark "${begin(name)}" in docs/OPTIMIZERS.md`);
    const to = result.indexOf(end, from);
    result = `${result.slice(0, from)}${begin(name)}\n\n${text}\n\n${result.slice(to)}`;
  }
  return result;
}

const kinds = { ascent: "--optimizer", combine: "--combine", base: "--base" } as const;

function overview(parts: readonly PartEntry[]): string {
  const rows = parts.map((p) => [
    `[${code(p.name)}](#${p.name})`,
    code(kinds[p.kind]),
    p.summary,
    p.stateBytes,
    p.kind === "combine" ? (p.gradients === 1 ? null : `× ${formatNumber(p.gradients)}`) : formatNumber(p.gradients),
  ]);
  return markdownTable(["part", "option", "what it does", "bytes of state", "gradients"], rows).trimEnd();
}

function partTable({ options, hyper, reference }: PartEntry): string {
  const rows = [
    ...hyper.map((h) => [code(h.name), "number", code(String(h.default)), meaning(h)]),
    ...options.map((o) => [code(o.name), "option", o.default === null ? null : code(o.default), o.description + choices(o.choices)]),
  ];
  const source = reference ? `Source: ${reference}.` : "";
  const table = rows.length > 0 ? markdownTable(["name", "kind", "default", "meaning"], rows).trimEnd() : "It has no options.";
  return [table, source].filter(Boolean).join("\n\n");
}

const meaning = ({ description, range, byDefault }: HyperEntry): string =>
  description + (range ? `; ${rangeText(range)}` : "") + (byDefault ? "" : "; not in use by default");

const choices = (of: readonly string[]): string => (of.length > 0 ? `: ${of.map(code).join(", ")}` : "");
