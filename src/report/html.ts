import { drawFigure } from "./chart.js";
import { curvesOf, type NamedRun } from "./curves.js";
import { formatNumber } from "./table.js";

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

const style = `
:root { color-scheme: light dark; --ground: #ffffff; --text: #1f2328; --quiet: #59636e; --line: #d1d9e0; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #161b22; --text: #e6edf3; --quiet: #a0aab4; --line: #30363d; }
  .light { display: none; }
}
@media not (prefers-color-scheme: dark) { .dark { display: none; } }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--ground); color: var(--text);
  font: 16px/1.5 Arimo, "Liberation Sans", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.5rem; margin: 0.5rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.25rem 0.75rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--quiet); font-weight: normal; }
img { max-width: 100%; height: auto; margin-top: 1.5rem; }
footer { margin-top: 2rem; color: var(--quiet); font-size: 0.85rem; }`;

/** One HTML page about a run, or several side by side, that needs no other file and no network. */
export async function htmlReport(title: string, runs: readonly NamedRun[], madeBy: string): Promise<string> {
  const pictures: string[] = [];
  for (const { title: heading, panels } of curvesOf(runs)) {
    const figure = { title: heading, panels, width: 640, height: 220 };
    const image = async (theme: "light" | "dark"): Promise<string> => {
      const { svg } = await drawFigure(figure, theme);
      return `<img class="${theme}" alt="${escape(heading)}" src="data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}">`;
    };
    pictures.push(`${await image("light")}\n${await image("dark")}`);
  }
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
${pictures.join("\n")}
<footer>${escape(madeBy)}</footer>
</body>
</html>
`;
}

/** What runs are compared by: one column a run, the first row their names. */
export function summaryRows(runs: readonly NamedRun[]): string[][] {
  const settings = new Set(runs.flatMap(({ log }) => Object.keys(log.start)));
  for (const name of ["event", "step", "epoch", "seconds"]) settings.delete(name);
  const metrics = new Set(runs.flatMap(({ log }) => [...log.evaluations.keys()]));
  const row = (name: string, value: (run: NamedRun) => string): string[] => [name, ...runs.map(value)];
  const last = (run: NamedRun, name: string): string => {
    const value = run.log.evaluations.get(name)?.at(-1)?.[1];
    return value === undefined ? "–" : formatNumber(value);
  };
  return [
    row("", ({ name }) => name),
    row("steps", ({ log }) => String(log.lastStep)),
    row("skipped", ({ log }) => String(log.skipped)),
    row("seconds", ({ log }) => formatNumber(log.seconds)),
    row("ended", ({ log }) => log.ended ?? "not yet"),
    ...[...settings].map((name) => row(name, ({ log }) => textOf(log.start[name]))),
    ...[...metrics].map((name) => row(`${name}, last evaluation`, (run) => last(run, name))),
  ];
}

const textOf = (value: unknown): string =>
  typeof value === "number" ? formatNumber(value) : typeof value === "string" ? value : JSON.stringify(value ?? "–");

const table = (rows: readonly (readonly string[])[]): string => {
  const cells = (row: readonly string[], tag: "th" | "td"): string =>
    `<tr>${row.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join("")}</tr>`;
  const [head = [], ...rest] = rows;
  return `<table>\n${[cells(head, "th"), ...rest.map((row) => cells(row, "td"))].join("\n")}\n</table>`;
};
