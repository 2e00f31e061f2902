import { markdownTable } from "../../src/report/table.js";
import { must } from "../../src/util/assert.js";

const begin = "<!-- results: written by npm run docs -->";
const end = "<!-- end -->";

/** `readme` with what stands between its marks written anew: the overview of `results`, docs/RESULTS.md, without what the paper reports. */
export function readmeResults(readme: string, results: string): string {
  const from = readme.indexOf(begin);
  const to = readme.indexOf(end, from);
  must(from >= 0 && to >= 0 ? from : undefined, `the marks "${begin}" and "${end}" in README.md`);
  return `${readme.slice(0, from)}${begin}\n\n${tableOf(results)}\n\n${readme.slice(to)}`;
}

/** The first table of the overview, but for its last column, and what its verdicts are worth. */
function tableOf(results: string): string {
  const [, overview] = results.split("\n## In one look\n");
  const lines = must(overview, 'the heading "In one look" in docs/RESULTS.md').split("\n");
  const start = lines.findIndex((line) => line.startsWith("| "));
  const stop = lines.findIndex((line, i) => i > start && !line.startsWith("|"));
  const [header = [], , ...rows] = lines.slice(start, stop).map(cellsOf);
  const worth = lines.find((line) => line.includes("(Bonferroni)"));
  return `${markdownTable(header, rows)}\n${must(worth, "the line about Bonferroni's correction in docs/RESULTS.md")}`;
}

const cellsOf = (line: string): string[] =>
  line
    .split("|")
    .slice(1, -2)
    .map((cell) => cell.trim().replace("](#", "](docs/RESULTS.md#"));
