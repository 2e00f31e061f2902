import { figureSvg } from "./chart.js";
import { curvesOf, moves, titleOf, type NamedRun } from "./curves.js";
import { svgOf, type Theme } from "./draw.js";
import { confusionSpec, layerMap } from "./grids.js";
import { curvatureByLayer, curvatureTitles } from "./layers.js";
import { formatNumber } from "./table.js";

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** Below this, narrow pictures are shown: a wide one would be scaled down until nobody can read it. */
const narrowScreen = "(max-width: 960px)";
const darkScreen = "(prefers-color-scheme: dark)";

const style = `
:root { color-scheme: light dark; --ground: #ffffff; --text: #1f2328; --quiet: #59636e; --line: #d1d9e0; --code: #f3f5f7; }
@media ${darkScreen} {
  :root { --ground: #161b22; --text: #e6edf3; --quiet: #a0aab4; --line: #30363d; --code: #0d1117; }
}
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--ground); color: var(--text);
  font: 16px/1.5 Arimo, "Liberation Sans", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.5rem; margin: 0.5rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.25rem 0.75rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--quiet); font-weight: normal; }
pre { margin: 0.5rem 0; padding: 0.75rem; border-radius: 6px; background: var(--code); font-size: 0.85rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; height: auto; margin: 1.5rem -16px 0; }
footer { margin-top: 2rem; color: var(--quiet); font-size: 0.85rem; }`;

/** Draws the SVG of a picture for a theme; `width` is that of its plotting area in pixels. */
type Draw = (theme: Theme, width: number) => Promise<string>;

const wide = 780;
/** The plotting area beside its axis in a screen of 360 pixels. */
const narrow = 265;
/** The same beside the names of layers. */
const narrowMap = 200;

/** The same picture for wide and narrow, light and dark screens: the browser takes one. */
async function picture(name: string, draw: Draw, narrowWidth = narrow, wideWidth = wide): Promise<string> {
  const data = async (theme: Theme, width: number): Promise<string> =>
    `data:image/svg+xml;base64,${Buffer.from(await draw(theme, width)).toString("base64")}`;
  return `<picture>
<source media="${narrowScreen} and ${darkScreen}" srcset="${await data("dark", narrowWidth)}">
<source media="${narrowScreen}" srcset="${await data("light", narrowWidth)}">
<source media="${darkScreen}" srcset="${await data("dark", wideWidth)}">
<img alt="${escape(name)}" src="${await data("light", wideWidth)}">
</picture>`;
}

/** One HTML page about a run, or several side by side, that needs no other file and no network. */
export async function htmlReport(title: string, runs: readonly NamedRun[], madeBy: string): Promise<string> {
  const parts: string[] = [];
  for (const { title: heading, panels } of curvesOf(runs)) {
    const draw: Draw = (theme, width) => figureSvg({ title: heading, panels, width, height: 200 }, theme);
    parts.push(await picture(heading, draw));
  }
  for (const run of runs) parts.push(...(await grids(run, runs.length > 1)));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>${style}
</style>
</head>
<body>
<h1>${escape(title)}</h1>
<div class="scroll">
${table(summaryRows(runs))}
</div>
${parts.join("\n")}
${making(runs)}
<footer>${escape(madeBy)}</footer>
</body>
</html>
`;
}

/** The pictures that are of one run alone; `named`: whether they say of which. */
async function grids({ name, log }: NamedRun, named: boolean): Promise<string[]> {
  const parts: string[] = [];
  const { confusion, curvature, elements, about } = log;
  if (confusion) {
    const subtitle = `${named ? `${name}, ` : ""}evaluation of step ${confusion.step}`;
    const content = { counts: confusion.counts, names: about.classes ?? [], subtitle };
    const draw: Draw = (theme, width) => svgOf(confusionSpec(content, theme, width), theme);
    parts.push(await picture(`Confusion matrix, ${subtitle}`, draw));
  }
  for (const [kind, tracks] of curvature) {
    if ([...tracks.values()].every((track) => track.length < 2)) continue;
    const { title: plain, value } = curvatureTitles(kind);
    const title = named ? `${plain}, ${name}` : plain;
    const layers = curvatureByLayer(tracks, elements);
    const draw: Draw = (theme, width) => svgOf(layerMap(title, value, layers, width), theme);
    parts.push(await picture(title, draw, narrowMap, wide - 200));
  }
  return parts;
}

/** How the runs were made: their commands, and where they ran. */
function making(runs: readonly NamedRun[]): string {
  const commands = runs.flatMap(({ name, log: { about } }) =>
    about.command === null
      ? []
      : [
          `${runs.length > 1 ? `<h2>Command of ${escape(name)}</h2>` : "<h2>Command</h2>"}\n<pre>${escape(about.command)}</pre>`,
        ],
  );
  const names = [...new Set(runs.flatMap(({ log }) => Object.keys(log.about.environment)))];
  const rows = names.map((name) => [name, ...runs.map(({ log }) => log.about.environment[name] ?? "–")]);
  if (rows.length === 0) return commands.join("\n");
  const environment = table([["", ...runs.map(({ name }) => name)], ...rows]);
  return `${commands.join("\n")}\n<h2>Environment</h2>\n<div class="scroll">\n${environment}\n</div>`;
}

/** What runs are compared by: one column a run, the first row their names. */
export function summaryRows(runs: readonly NamedRun[]): string[][] {
  const settings = new Set(runs.flatMap(({ log }) => Object.keys(log.start)));
  for (const name of ["event", "step", "epoch", "seconds"]) settings.delete(name);
  const row = (name: string, value: (run: NamedRun) => string): string[] => [name, ...runs.map(value)];
  const names = (kind: "steps" | "evaluations" | "sharpness"): string[] => [
    ...new Set(runs.flatMap(({ log }) => [...log[kind].keys()])),
  ];
  const last = ({ log }: NamedRun, kind: "evaluations" | "sharpness", name: string): string => {
    const value = log[kind].get(name)?.at(-1)?.[1];
    return value === undefined ? "–" : formatNumber(value);
  };
  const constant = ({ log }: NamedRun, name: string): string => {
    const track = log.steps.get(name) ?? [];
    return track[0] === undefined ? "–" : moves(track) ? "moves" : formatNumber(track[0][1]);
  };
  return [
    row("", ({ name }) => name),
    row("steps", ({ log }) => String(log.lastStep)),
    row("skipped", ({ log }) => String(log.skipped)),
    row("seconds", ({ log }) => formatNumber(log.seconds)),
    row("ended", ({ log }) => log.ended ?? "not yet"),
    ...[...settings].map((name) => row(name, ({ log }) => textOf(log.start[name]))),
    ...names("steps")
      .filter((name) => name.startsWith("hyper/") && runs.some(({ log }) => !moves(log.steps.get(name) ?? [])))
      .map((name) => row(lowered(titleOf(name)), (run) => constant(run, name))),
    ...names("evaluations").map((name) => row(`${name}, last evaluation`, (run) => last(run, "evaluations", name))),
    ...names("sharpness").map((name) => row(`${lowered(titleOf(name))}, last`, (run) => last(run, "sharpness", name))),
  ];
}

const lowered = (text: string): string => text.replace(/^./, (c) => c.toLowerCase());

const textOf = (value: unknown): string =>
  typeof value === "number" ? formatNumber(value) : typeof value === "string" ? value : JSON.stringify(value ?? "–");

const table = (rows: readonly (readonly string[])[]): string => {
  const cells = (row: readonly string[], tag: "th" | "td"): string =>
    `<tr>${row.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join("")}</tr>`;
  const [head = [], ...rest] = rows;
  return `<table>\n${[cells(head, "th"), ...rest.map((row) => cells(row, "td"))].join("\n")}\n</table>`;
};
